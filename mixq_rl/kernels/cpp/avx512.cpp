// The operations with AVX-512 VNNI: four neighbours (or four columns) to a vpdpbusd.
#include "engine.hpp"

#if defined(MIXQ_X86)

#include <immintrin.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif

// Accumulators live in registers only where every loop over them is unrolled.
// GCC takes a function that only fetches for one without effect, and drops calls of it that are not inlined.
#define MIXQ_INLINE __attribute__((always_inline))
#define MIXQ_UNROLL _Pragma("GCC unroll 16")
#define MIXQ_TARGET "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target(MIXQ_TARGET))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif

#include "scalar.hpp"

namespace mixq {
namespace {

inline __m512i dot(bool weights_signed, __m512i sum, __m512i codes, __m512i weights) {
    return weights_signed ? _mm512_dpbusd_epi32(sum, codes, weights) : _mm512_dpbusd_epi32(sum, weights, codes);
}

// Four lists of bytes to one list of quadruples, within each 128-bit lane: out[j] has bytes 4j...4j+3 of the lane.
inline void interleave_lanes(const __m512i in[4], __m512i out[4]) {
    const __m512i low01 = _mm512_unpacklo_epi8(in[0], in[1]), high01 = _mm512_unpackhi_epi8(in[0], in[1]);
    const __m512i low23 = _mm512_unpacklo_epi8(in[2], in[3]), high23 = _mm512_unpackhi_epi8(in[2], in[3]);
    out[0] = _mm512_unpacklo_epi16(low01, low23);
    out[1] = _mm512_unpackhi_epi16(low01, low23);
    out[2] = _mm512_unpacklo_epi16(high01, high23);
    out[3] = _mm512_unpackhi_epi16(high01, high23);
}

// Transposes four vectors of four 128-bit lanes.
inline void transpose_lanes(__m512i v[4]) {
    const __m512i a = _mm512_shuffle_i32x4(v[0], v[1], 0x44), b = _mm512_shuffle_i32x4(v[2], v[3], 0x44);
    const __m512i c = _mm512_shuffle_i32x4(v[0], v[1], 0xEE), d = _mm512_shuffle_i32x4(v[2], v[3], 0xEE);
    v[0] = _mm512_shuffle_i32x4(a, b, 0x88);
    v[1] = _mm512_shuffle_i32x4(a, b, 0xDD);
    v[2] = _mm512_shuffle_i32x4(c, d, 0x88);
    v[3] = _mm512_shuffle_i32x4(c, d, 0xDD);
}

// Four times sixteen bytes, one neighbour to a lane, to sixteen quadruples in order.
inline __m512i interleave_quarters(__m128i a, __m128i b, __m128i c, __m128i d) {
    const __m512i words = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    const __m512i bytes = _mm512_broadcast_i32x4(_mm_set_epi8(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0));
    __m512i joined = _mm512_inserti32x4(_mm512_castsi128_si512(a), b, 1);
    joined = _mm512_inserti32x4(_mm512_inserti32x4(joined, c, 2), d, 3);
    return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(words, joined), bytes);
}

// The perfect shuffle: entry i of vector s goes to place i * kCount + s.
template <int kCount>
inline void shuffle_perfectly(__m512i* v) {
    const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i high = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
    MIXQ_UNROLL
    for (int round = kCount; round > 1; round /= 2) {
        __m512i next[kCount];
        MIXQ_UNROLL
        for (int k = 0; k < kCount / 2; ++k) {
            next[2 * k] = _mm512_permutex2var_epi32(v[k], low, v[k + kCount / 2]);
            next[2 * k + 1] = _mm512_permutex2var_epi32(v[k], high, v[k + kCount / 2]);
        }
        MIXQ_UNROLL
        for (int k = 0; k < kCount; ++k) v[k] = next[k];
    }
}

struct Avx512 {
    using Lane = int8_t;
    static constexpr int kLanes = 4;
    static constexpr int kVector = 16;
    static constexpr int kTileRows = 6;
    static constexpr int kTileColumns = 64;
    static constexpr int kAhead = 32;    // edges between the one summed and the one fetched
    static constexpr int kVectors = 16;  // accumulators of a pass

    // Of a vector, the entries that a row still has.
    static __mmask16 valid_of(int64_t left) {
        return left >= 16 ? __mmask16{0xFFFF} : left <= 0 ? __mmask16{0} : static_cast<__mmask16>((1u << left) - 1);
    }

    // vpdpbusd multiplies unsigned by signed bytes: codes are made to be the kind that the weights are not.
    static int32_t flip(const Matrix& x, bool weight_signed) {
        if (x.bits < 8 || x.is_signed != weight_signed) return 0;
        return x.is_signed ? -128 : 128;
    }

    // Brings accumulators into the order of the columns, and writes step * sum + constant from column `first` on.
    template <int kPerByte, int kPieces>
    MIXQ_INLINE static inline void write_sums(__m512i (&sum)[kPieces][kPerByte], const Matrix& x, __m512i constant,
                                              int64_t first, int32_t* sums) {
        MIXQ_UNROLL
        for (int g = 0; g < kPieces / 4; ++g) {
            MIXQ_UNROLL
            for (int s = 0; s < kPerByte; ++s) {
                __m512i lanes[4] = {sum[4 * g][s], sum[4 * g + 1][s], sum[4 * g + 2][s], sum[4 * g + 3][s]};
                transpose_lanes(lanes);
                MIXQ_UNROLL
                for (int j = 0; j < 4; ++j) sum[4 * g + j][s] = lanes[j];
            }
        }
        const __m128i doubled = _mm_cvtsi32_si128(x.step - 1);
        MIXQ_UNROLL
        for (int p = 0; p < kPieces; ++p) {
            shuffle_perfectly<kPerByte>(sum[p]);
            MIXQ_UNROLL
            for (int s = 0; s < kPerByte; ++s) {
                const __m512i finished = _mm512_add_epi32(_mm512_sll_epi32(sum[p][s], doubled), constant);
                const int64_t column = first + (p * kPerByte + s) * 16;
                if (p + 1 < kPieces) {
                    _mm512_storeu_si512(sums + column, finished);
                } else {
                    _mm512_mask_storeu_epi32(sums + column, valid_of(x.columns - column), finished);
                }
            }
        }
    }

    // The next four rows that an aggregation reads, and the weights of their edges.
    struct Quad {
        const uint8_t* row[4];
        __m512i weights;
    };

    // kPieces times sixteen bytes of each row, beginning `first` bytes up.
    template <int kBits, int kPieces, bool kWeightsSigned, bool kFlip>
    static void pass(const Matrix& x, int32_t offset, const Edges& edges, int64_t begin, int64_t end, int64_t first,
                     int32_t* sums) {
        constexpr int kPerByte = 8 / kBits;
        constexpr int kFull = kPieces / 4, kRest = kPieces % 4;
        const int64_t row_bytes = x.row_bytes;
        const int32_t* col = edges.col;
        const uint8_t* base = x.data + first;
        const int last = static_cast<int>(std::min<int64_t>(16, row_bytes - first - 16 * (kPieces - 1)));
        const __mmask16 rest_mask = static_cast<__mmask16>((1u << last) - 1);
        const __mmask64 full_mask = kRest == 0 ? ~uint64_t{0} >> (16 - last) : ~uint64_t{0};
        const __m512i mask = _mm512_set1_epi8(static_cast<char>(kFlip ? 0x80 : (1 << kBits) - 1));
        const __m512i ones = _mm512_set1_epi8(1);
        __m512i sum[kPieces][kPerByte], total = _mm512_setzero_si512();
        MIXQ_UNROLL
        for (auto& piece : sum)
            MIXQ_UNROLL
            for (auto& vector : piece) vector = _mm512_setzero_si512();

        const auto add = [&](__m512i (&piece)[kPerByte], __m512i codes, __m512i weights) MIXQ_INLINE {
            if constexpr (kBits == 8) {
                piece[0] = dot(kWeightsSigned, piece[0], kFlip ? _mm512_xor_si512(codes, mask) : codes, weights);
            } else {
                MIXQ_UNROLL
                for (int s = 0; s < kPerByte; ++s) {
                    const __m512i shifted = s == 0 ? codes : _mm512_srli_epi16(codes, s * kBits);
                    piece[s] = dot(kWeightsSigned, piece[s], _mm512_and_si512(shifted, mask), weights);
                }
            }
        };
        const auto add_four = [&](const Quad& next) MIXQ_INLINE {
            const __m512i weights = next.weights;
            total = dot(kWeightsSigned, total, ones, weights);
            MIXQ_UNROLL
            for (int g = 0; g < kFull; ++g) {
                const __mmask64 valid = g + 1 == kFull ? full_mask : ~uint64_t{0};
                __m512i rows[4], quadruples[4];
                MIXQ_UNROLL
                for (int i = 0; i < 4; ++i) rows[i] = _mm512_maskz_loadu_epi8(valid, next.row[i] + 64 * g);
                interleave_lanes(rows, quadruples);
                MIXQ_UNROLL
                for (int j = 0; j < 4; ++j) add(sum[4 * g + j], quadruples[j], weights);
            }
            MIXQ_UNROLL
            for (int p = 4 * kFull; p < kPieces; ++p) {
                const __mmask16 valid = p + 1 == kPieces ? rest_mask : 0xFFFF;
                __m128i rows[4];
                MIXQ_UNROLL
                for (int i = 0; i < 4; ++i) rows[i] = _mm_maskz_loadu_epi8(valid, next.row[i] + 16 * p);
                add(sum[p], interleave_quarters(rows[0], rows[1], rows[2], rows[3]), weights);
            }
        };
        // Rows that do not begin at a cache line reach into one line more.
        const bool straddles = (reinterpret_cast<uintptr_t>(base) | static_cast<uintptr_t>(row_bytes)) % 64 != 0;
        const auto fetch = [&](int64_t e) MIXQ_INLINE {
            const char* row = reinterpret_cast<const char*>(base + col[e] * row_bytes);
            MIXQ_UNROLL
            for (int line = 0; line < (kPieces + 3) / 4; ++line) _mm_prefetch(row + 64 * line, _MM_HINT_T0);
            if (straddles) _mm_prefetch(row + 16 * (kPieces - 1) + last - 1, _MM_HINT_T0);
        };

        for (int64_t e = begin; e < end; e += 4) {
            // A row's last group is filled up with its last edge at weight 0.
            const int64_t count = std::min<int64_t>(4, end - e);
            uint32_t word = 0x01010101;
            if (edges.weight != nullptr) word = load_word(edges.weight + e, 0, edges.count - e);
            word &= 0xFFFFFFFFu >> (8 * (4 - count));
            if (e + kAhead + 4 <= edges.count) {
                MIXQ_UNROLL
                for (int i = 0; i < 4; ++i) fetch(e + kAhead + i);
            }
            Quad next;
            MIXQ_UNROLL
            for (int i = 0; i < 4; ++i) next.row[i] = base + col[std::min(e + i, end - 1)] * row_bytes;
            next.weights = _mm512_set1_epi32(static_cast<int>(word));
            add_four(next);
        }

        const __m512i constant = _mm512_mullo_epi32(total, _mm512_set1_epi32(offset));
        write_sums<kPerByte, kPieces>(sum, x, constant, first * kPerByte, sums);
    }

    template <int kBits, bool kWeightsSigned, int kPieces = kVectors * kBits / 8>
    static void pass_of(int pieces, const Matrix& x, int32_t offset, const Edges& edges, int64_t begin, int64_t end,
                        int64_t first, int32_t* sums) {
        if constexpr (kPieces > 1) {
            if (pieces < kPieces) {
                return pass_of<kBits, kWeightsSigned, kPieces - 1>(pieces, x, offset, edges, begin, end, first, sums);
            }
        }
        if constexpr (kBits == 8) {
            if (x.is_signed == kWeightsSigned) {
                return pass<kBits, kPieces, kWeightsSigned, true>(x, offset, edges, begin, end, first, sums);
            }
        }
        pass<kBits, kPieces, kWeightsSigned, false>(x, offset, edges, begin, end, first, sums);
    }

    template <int kBits>
    static void passes(const Matrix& x, int32_t offset, const Edges& edges, int64_t begin, int64_t end, int32_t* sums) {
        constexpr int64_t kMost = 16 * kVectors * kBits / 8;
        for (int64_t first = 0; first < x.row_bytes; first += kMost) {
            const int pieces = static_cast<int>((std::min(kMost, x.row_bytes - first) + 15) / 16);
            if (edges.weight_signed) {
                pass_of<kBits, true>(pieces, x, offset, edges, begin, end, first, sums);
            } else {
                pass_of<kBits, false>(pieces, x, offset, edges, begin, end, first, sums);
            }
        }
    }

    static void sum_neighbours(const Matrix& x, int32_t offset, const Edges& edges, int64_t begin, int64_t end,
                               int32_t* sums) {
        switch (x.bits) {
            case 1: return passes<1>(x, offset, edges, begin, end, sums);
            case 2: return passes<2>(x, offset, edges, begin, end, sums);
            case 4: return passes<4>(x, offset, edges, begin, end, sums);
            default: return passes<8>(x, offset, edges, begin, end, sums);
        }
    }

    template <int kBits, int kWide>
    static void tile_of(const Matrix& x, int64_t first, int count, const int8_t* panel, int64_t width, int64_t words,
                        int32_t* sums, int64_t stride) {
        constexpr int kSubwords = 8 / kBits;
        const __m512i mask = _mm512_set1_epi8(static_cast<char>((1 << kBits) - 1));
        const __m512i flipped = _mm512_set1_epi8(static_cast<char>(x.is_signed ? 0x80 : 0));
        const uint8_t* rows[kTileRows];
        MIXQ_UNROLL
        for (int r = 0; r < kTileRows; ++r) rows[r] = x.data + (first + std::min(r, count - 1)) * x.row_bytes;
        __m512i sum[kTileRows][kWide];
        MIXQ_UNROLL
        for (auto& row : sum)
            MIXQ_UNROLL
            for (auto& vector : row) vector = _mm512_setzero_si512();

        const auto add_word = [&](const int8_t* weights, const uint32_t (&word)[kTileRows]) MIXQ_INLINE {
            MIXQ_UNROLL
            for (int s = 0; s < kSubwords; ++s) {
                __m512i column[kWide];
                MIXQ_UNROLL
                for (int v = 0; v < kWide; ++v) column[v] = _mm512_loadu_si512(weights + (s * width + v * 16) * kLanes);
                MIXQ_UNROLL
                for (int r = 0; r < kTileRows; ++r) {
                    __m512i codes = _mm512_set1_epi32(static_cast<int>(word[r]));
                    if constexpr (kBits == 8) {
                        codes = _mm512_xor_si512(codes, flipped);
                    } else {
                        codes = _mm512_and_si512(_mm512_srli_epi16(codes, s * kBits), mask);
                    }
                    MIXQ_UNROLL
                    for (int v = 0; v < kWide; ++v) sum[r][v] = _mm512_dpbusd_epi32(sum[r][v], codes, column[v]);
                }
            }
        };
        const int64_t whole = x.row_bytes / 4, step = kSubwords * width * kLanes;
        uint32_t word[kTileRows];
        for (int64_t d = 0; d < whole; ++d) {
            MIXQ_UNROLL
            for (int r = 0; r < kTileRows; ++r) __builtin_memcpy(&word[r], rows[r] + 4 * d, 4);
            add_word(panel + d * step, word);
        }
        if (whole < words) {
            MIXQ_UNROLL
            for (int r = 0; r < kTileRows; ++r) word[r] = load_word(rows[r], whole, x.row_bytes);
            add_word(panel + whole * step, word);
        }
        for (int r = 0; r < count; ++r) {
            MIXQ_UNROLL
            for (int v = 0; v < kWide; ++v) _mm512_storeu_si512(sums + r * stride + v * 16, sum[r][v]);
        }
    }

    template <int kBits>
    static void tile_with(const Matrix& x, int64_t first, int count, const int8_t* panel, int64_t width, int vectors,
                          int64_t words, int32_t* sums, int64_t stride) {
        switch (vectors) {
            case 1: return tile_of<kBits, 1>(x, first, count, panel, width, words, sums, stride);
            case 2: return tile_of<kBits, 2>(x, first, count, panel, width, words, sums, stride);
            case 3: return tile_of<kBits, 3>(x, first, count, panel, width, words, sums, stride);
            default: return tile_of<kBits, 4>(x, first, count, panel, width, words, sums, stride);
        }
    }

    static void tile(const Matrix& x, int64_t first, int count, const int8_t* panel, int64_t width, int vectors,
                     int64_t words, int32_t* sums, int64_t stride) {
        switch (x.bits) {
            case 1: return tile_with<1>(x, first, count, panel, width, vectors, words, sums, stride);
            case 2: return tile_with<2>(x, first, count, panel, width, vectors, words, sums, stride);
            case 4: return tile_with<4>(x, first, count, panel, width, vectors, words, sums, stride);
            default: return tile_with<8>(x, first, count, panel, width, vectors, words, sums, stride);
        }
    }

    static void copy(const int32_t* sums, int64_t n, int32_t* out) {
        int64_t f = 0;
        if (reinterpret_cast<uintptr_t>(out) % 64 == 0) {
            for (; f + 16 <= n; f += 16) {
                _mm512_stream_si512(reinterpret_cast<__m512i*>(out + f), _mm512_loadu_si512(sums + f));
            }
        } else if (reinterpret_cast<uintptr_t>(out) % 16 == 0) {
            for (; f + 4 <= n; f += 4) {
                const __m128i four = _mm_loadu_si128(reinterpret_cast<const __m128i*>(sums + f));
                _mm_stream_si128(reinterpret_cast<__m128i*>(out + f), four);
            }
        }
        std::copy(sums + f, sums + n, out + f);
    }

    // What the entries of a row have in common.
    struct RowRescale {
        RowRescale(const Rescale& rescale, int64_t row)
            : column_multiplier(rescale.per_column ? rescale.multiplier : nullptr),
              bias(rescale.bias),
              has_rows(rescale.row != nullptr),
              is_sign(rescale.is_sign),
              bits(rescale.storage_bits),
              shift(_mm_cvtsi32_si128(rescale.shift)),
              row_shift(_mm_cvtsi32_si128(rescale.row_shift)),
              half(_mm512_set1_epi64((int64_t{1} << (rescale.shift - 1)) - 1)),
              lowest(_mm512_set1_epi64(rescale.minimum - rescale.zero_point)),
              highest(_mm512_set1_epi64(rescale.maximum - rescale.zero_point)),
              first_code(_mm512_set1_epi64(rescale.zero_point - (rescale.storage_bits == 8 ? 0 : rescale.minimum))) {
            const int64_t own = rescale.row == nullptr ? 1 : rescale.row[row];
            row_scale = _mm512_set1_epi64(own);
            multiplier = _mm512_set1_epi64((own * rescale.multiplier[0]) >> rescale.row_shift);
            // Then every multiplier is below 2^31, and so are both its factors: one multiplication instruction will do.
            narrow = own >= 0 && own < (int64_t{1} << 31) && rescale.largest_multiplier < (int64_t{1} << 31) &&
                     ((own * rescale.largest_multiplier) >> rescale.row_shift) < (int64_t{1} << 31);
        }

        const int64_t* column_multiplier;  // null: `multiplier` serves all
        const int64_t* bias;               // null: none
        bool has_rows, is_sign;
        int bits;
        __m128i shift, row_shift;
        __m512i half, lowest, highest, first_code, row_scale, multiplier;
        bool narrow;
    };

    template <bool kNarrow>
    static __m512i multiply(__m512i a, __m512i b) {
        return kNarrow ? _mm512_mul_epi32(a, b) : _mm512_mullo_epi64(a, b);
    }

    // Eight sums to eight codes, one in the lowest byte of each 64 bits.
    template <bool kNarrow>
    static __m512i requantize_eight(__m256i sums, int64_t f, __mmask8 valid, const RowRescale& rescale) {
        __m512i multiplier = rescale.multiplier;
        if (rescale.column_multiplier != nullptr) {
            multiplier = _mm512_maskz_loadu_epi64(valid, rescale.column_multiplier + f);
            if (rescale.has_rows) {
                multiplier = _mm512_sra_epi64(multiply<kNarrow>(multiplier, rescale.row_scale), rescale.row_shift);
            }
        }
        __m512i value = multiply<kNarrow>(_mm512_cvtepi32_epi64(sums), multiplier);
        if (rescale.bias != nullptr) {
            value = _mm512_add_epi64(value, _mm512_maskz_loadu_epi64(valid, rescale.bias + f));
        }
        if (rescale.is_sign) return _mm512_add_epi64(_mm512_srai_epi64(value, 63), _mm512_set1_epi64(1));
        const __m512i odd = _mm512_and_si512(_mm512_sra_epi64(value, rescale.shift), _mm512_set1_epi64(1));
        const __m512i raised = _mm512_add_epi64(value, _mm512_add_epi64(rescale.half, odd));
        const __m512i rounded = _mm512_sra_epi64(raised, rescale.shift);
        const __m512i clamped = _mm512_min_epi64(_mm512_max_epi64(rounded, rescale.lowest), rescale.highest);
        return _mm512_add_epi64(clamped, rescale.first_code);
    }

    template <bool kNarrow>
    static void requantize_row(const int32_t* sums, int64_t n, RowRescale rescale, uint8_t* codes) {
        // By value: what is written to `codes` cannot change them, so they stay in registers.
        const int bits = rescale.bits;
        for (int64_t f = 0; f < n; f += 16) {
            const __mmask16 valid = valid_of(n - f);
            const __m512i sum = _mm512_maskz_loadu_epi32(valid, sums + f);
            const __mmask8 first = static_cast<__mmask8>(valid), second = static_cast<__mmask8>(valid >> 8);
            const __m512i low = requantize_eight<kNarrow>(_mm512_castsi512_si256(sum), f, first, rescale);
            const __m512i high = requantize_eight<kNarrow>(_mm512_extracti64x4_epi64(sum, 1), f + 8, second, rescale);
            const __m128i bytes = _mm_unpacklo_epi64(_mm512_cvtepi64_epi8(low), _mm512_cvtepi64_epi8(high));
            store_packed(_mm_maskz_mov_epi8(valid, bytes), std::min<int64_t>(16, n - f), bits, codes + f * bits / 8);
        }
    }

    static void requantize(const int32_t* sums, int64_t n, const Rescale& rescale, int64_t row, uint8_t* codes) {
        const RowRescale row_rescale(rescale, row);
        if (row_rescale.narrow) {
            requantize_row<true>(sums, n, row_rescale, codes);
        } else {
            requantize_row<false>(sums, n, row_rescale, codes);
        }
    }

    // Up to sixteen codes, zeros past the last, to their bytes.
    static void store_packed(__m128i bytes, int64_t count, int bits, uint8_t* target) {
        const __mmask16 valid = static_cast<__mmask16>((1u << ((count * bits + 7) / 8)) - 1);
        if (bits == 1) {
            bytes = _mm_cvtsi32_si128(_mm_test_epi8_mask(bytes, bytes));
        } else if (bits == 2) {
            const __m128i pairs = _mm_maddubs_epi16(bytes, _mm_set1_epi16(0x0401));
            const __m128i quadruples = _mm_madd_epi16(pairs, _mm_set1_epi32(0x00100001));
            bytes = _mm_cvtepi32_epi8(quadruples);
        } else if (bits == 4) {
            bytes = _mm_cvtepi16_epi8(_mm_maddubs_epi16(bytes, _mm_set1_epi16(0x1001)));
        }
        _mm_mask_storeu_epi8(target, valid, bytes);
    }
};

}  // namespace

const Engine avx512{&linear<Avx512>, &aggregate<Avx512>};

}  // namespace mixq

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // MIXQ_X86
