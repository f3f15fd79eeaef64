// The operations with AVX-512 VNNI: four neighbours (or four columns) to a vpdpbusd.
#include "engine.hpp"

#if defined(MIXQ_X86)

#include <immintrin.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif

// GCC takes a function that only fetches for one without effect, and drops calls of it that are not inlined.
#define MIXQ_INLINE __attribute__((always_inline))
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

template <int kValue>
using Index = std::integral_constant<int, kValue>;

template <class Body, int... kIndex>
MIXQ_INLINE inline void unroll(const Body& body, std::integer_sequence<int, kIndex...>) {
    (body(Index<kIndex>{}), ...);
}

// body(0), ..., body(kCount - 1), each index a constant: only then do arrays of accumulators live in registers.
template <int kCount, class Body>
MIXQ_INLINE inline void unroll(const Body& body) {
    unroll(body, std::make_integer_sequence<int, kCount>{});
}

// sum += four products to each entry. By the intrinsic, GCC keeps old and new sums both, and runs out of registers.
MIXQ_INLINE inline void add_products(__m512i& sum, __m512i unsigned_bytes, __m512i signed_bytes) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(unsigned_bytes), "v"(signed_bytes));
}

MIXQ_INLINE inline void add_products(bool weights_signed, __m512i& sum, __m512i codes, __m512i weights) {
    weights_signed ? add_products(sum, codes, weights) : add_products(sum, weights, codes);
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
    constexpr int kRounds = kCount == 8 ? 3 : kCount / 2;
    unroll<kRounds>([&](auto) MIXQ_INLINE {
        __m512i next[kCount];
        unroll<kCount / 2>([&](auto k) MIXQ_INLINE {
            next[2 * k] = _mm512_permutex2var_epi32(v[k], low, v[k + kCount / 2]);
            next[2 * k + 1] = _mm512_permutex2var_epi32(v[k], high, v[k + kCount / 2]);
        });
        unroll<kCount>([&](auto k) MIXQ_INLINE { v[k] = next[k]; });
    });
}

// The first `count` bytes of a vector, fewer than 16. (Masked stores cost many times what others do.)
inline void store_first_bytes(uint8_t* target, __m128i bytes, int64_t count) {
    if (count & 8) {
        _mm_storel_epi64(reinterpret_cast<__m128i*>(target), bytes);
        bytes = _mm_srli_si128(bytes, 8);
        target += 8;
    }
    if (count & 4) {
        const int word = _mm_cvtsi128_si32(bytes);
        __builtin_memcpy(target, &word, 4);
        bytes = _mm_srli_si128(bytes, 4);
        target += 4;
    }
    int rest = _mm_cvtsi128_si32(bytes);
    for (int64_t i = 0; i < (count & 3); ++i, rest >>= 8) target[i] = static_cast<uint8_t>(rest);
}

// The first `count` entries of a vector, fewer than 16.
inline void store_first_entries(int32_t* target, __m512i entries, int64_t count) {
    __m256i eight = _mm512_castsi512_si256(entries);
    if (count & 8) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), eight);
        eight = _mm512_extracti64x4_epi64(entries, 1);
        target += 8;
    }
    __m128i four = _mm256_castsi256_si128(eight);
    if (count & 4) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(target), four);
        four = _mm256_extracti128_si256(eight, 1);
        target += 4;
    }
    store_first_bytes(reinterpret_cast<uint8_t*>(target), four, 4 * (count & 3));
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
        unroll<kPieces / 4>([&](auto g) MIXQ_INLINE {
            unroll<kPerByte>([&](auto s) MIXQ_INLINE {
                __m512i lanes[4] = {sum[4 * g][s], sum[4 * g + 1][s], sum[4 * g + 2][s], sum[4 * g + 3][s]};
                transpose_lanes(lanes);
                unroll<4>([&](auto j) MIXQ_INLINE { sum[4 * g + j][s] = lanes[j]; });
            });
        });
        // Only single bits can be two apart.
        const bool doubled = kPerByte == 8 && x.step == 2;
        unroll<kPieces>([&](auto p) MIXQ_INLINE {
            shuffle_perfectly<kPerByte>(sum[p]);
            unroll<kPerByte>([&](auto s) MIXQ_INLINE {
                const __m512i scaled = doubled ? _mm512_slli_epi32(sum[p][s], 1) : sum[p][s];
                const __m512i finished = _mm512_add_epi32(scaled, constant);
                const int64_t column = first + (p * kPerByte + s) * 16;
                if (p + 1 < kPieces || x.columns - column >= 16) {
                    _mm512_storeu_si512(sums + column, finished);
                } else {
                    store_first_entries(sums + column, finished, std::max<int64_t>(x.columns - column, 0));
                }
            });
        });
    }

    // Adds the products of four neighbours' bytes, byte by byte of each: one accumulator for each code in a byte.
    template <int kBits, bool kWeightsSigned, bool kFlip>
    MIXQ_INLINE static inline void add(__m512i* sum, __m512i quadruples, __m512i weights, __m512i mask) {
        if constexpr (kBits == 8) {
            const __m512i codes = kFlip ? _mm512_xor_si512(quadruples, mask) : quadruples;
            add_products(kWeightsSigned, sum[0], codes, weights);
        } else {
            unroll<8 / kBits>([&](auto s) MIXQ_INLINE {
                const __m512i shifted = s == 0 ? quadruples : _mm512_srli_epi16(quadruples, s * kBits);
                add_products(kWeightsSigned, sum[s], _mm512_and_si512(shifted, mask), weights);
            });
        }
    }

    // Sums kPieces times sixteen bytes of neighbours' rows, beginning `first` bytes up. Made once, called for each row.
    template <int kBits, int kPieces, bool kWeightsSigned, bool kFlip>
    struct Pass {
        static constexpr int kPerByte = 8 / kBits;
        static constexpr int kFull = kPieces / 4, kRest = kPieces % 4;

        Pass(const Matrix& matrix, int32_t code_offset, const Edges& all, int64_t first)
            : x(matrix), edges(all), base(matrix.data + first), first_column(first * kPerByte), offset(code_offset) {
            const int64_t last = std::min<int64_t>(16, x.row_bytes - first - 16 * (kPieces - 1));
            last_byte = 16 * (kPieces - 1) + last - 1;
            rest_mask = static_cast<__mmask16>((1u << last) - 1);
            full_mask = kRest == 0 ? ~uint64_t{0} >> (16 - last) : ~uint64_t{0};
            // Rows that do not begin at a cache line reach into one line more.
            straddles = (reinterpret_cast<uintptr_t>(base) | static_cast<uintptr_t>(x.row_bytes)) % 64 != 0;
        }

        MIXQ_INLINE inline void fetch(int64_t e) const {
            const char* row = reinterpret_cast<const char*>(base + edges.col[e] * x.row_bytes);
            unroll<(kPieces + 3) / 4>([&](auto line) MIXQ_INLINE { _mm_prefetch(row + 64 * line, _MM_HINT_T0); });
            if (straddles) _mm_prefetch(row + last_byte, _MM_HINT_T0);
        }

        void operator()(int64_t begin, int64_t end, int32_t* sums) const {
            const __m512i mask = _mm512_set1_epi8(static_cast<char>(kFlip ? 0x80 : (1 << kBits) - 1));
            const __m512i ones = _mm512_set1_epi8(1);
            __m512i sum[kPieces][kPerByte], total = _mm512_setzero_si512();
            unroll<kPieces>([&](auto p) MIXQ_INLINE {
                unroll<kPerByte>([&](auto s) MIXQ_INLINE { sum[p][s] = _mm512_setzero_si512(); });
            });
            for (int64_t e = begin; e < end; e += 4) {
                // A row's last group is filled up with its last edge at weight 0.
                uint32_t word = 0x01010101;
                if (edges.weight != nullptr) word = load_word_before(edges.weight + e, edges.count - e);
                word &= 0xFFFFFFFFu >> (8 * (4 - std::min<int64_t>(4, end - e)));
                if (e + kAhead + 4 <= edges.count) {
                    unroll<4>([&](auto i) MIXQ_INLINE { fetch(e + kAhead + i); });
                }
                const __m512i weights = _mm512_set1_epi32(static_cast<int>(word));
                const uint8_t* next[4];
                unroll<4>([&](auto i) MIXQ_INLINE {
                    next[i] = base + edges.col[std::min(e + i, end - 1)] * x.row_bytes;
                });
                add_products(kWeightsSigned, total, ones, weights);
                unroll<kFull>([&](auto g) MIXQ_INLINE {
                    const __mmask64 valid = g + 1 == kFull ? full_mask : ~uint64_t{0};
                    __m512i rows[4], quadruples[4];
                    unroll<4>([&](auto i) MIXQ_INLINE { rows[i] = _mm512_maskz_loadu_epi8(valid, next[i] + 64 * g); });
                    interleave_lanes(rows, quadruples);
                    unroll<4>([&](auto j) MIXQ_INLINE {
                        add<kBits, kWeightsSigned, kFlip>(sum[4 * g + j], quadruples[j], weights, mask);
                    });
                });
                unroll<kRest>([&](auto rest) MIXQ_INLINE {
                    constexpr int p = 4 * kFull + rest;
                    const __mmask16 valid = p + 1 == kPieces ? rest_mask : __mmask16{0xFFFF};
                    __m128i rows[4];
                    unroll<4>([&](auto i) MIXQ_INLINE { rows[i] = _mm_maskz_loadu_epi8(valid, next[i] + 16 * p); });
                    const __m512i quadruples = interleave_quarters(rows[0], rows[1], rows[2], rows[3]);
                    add<kBits, kWeightsSigned, kFlip>(sum[p], quadruples, weights, mask);
                });
            }
            const __m512i constant = _mm512_mullo_epi32(total, _mm512_set1_epi32(offset));
            write_sums<kPerByte, kPieces>(sum, x, constant, first_column, sums);
        }

        const Matrix x;
        const Edges edges;
        const uint8_t* base;
        int64_t first_column, last_byte;
        __mmask64 full_mask;
        __mmask16 rest_mask;
        int32_t offset;
        bool straddles;
    };

    // Calls body with the pass over a row's bytes from `first` on.
    template <int kBits, bool kWeightsSigned, int kPieces, class Body>
    static void with_pass(int64_t first, const Matrix& x, int32_t offset, const Edges& edges, const Body& body) {
        if constexpr (kPieces > 1) {
            if (x.row_bytes - first <= 16 * (kPieces - 1)) {
                return with_pass<kBits, kWeightsSigned, kPieces - 1>(first, x, offset, edges, body);
            }
        }
        if constexpr (kBits == 8) {
            if (x.is_signed == kWeightsSigned) {
                return body(Pass<kBits, kPieces, kWeightsSigned, true>(x, offset, edges, first));
            }
        }
        body(Pass<kBits, kPieces, kWeightsSigned, false>(x, offset, edges, first));
    }

    template <int kBits, class Body>
    static void with_passes(const Matrix& x, int32_t offset, const Edges& edges, const Body& body) {
        constexpr int kMost = kVectors * kBits / 8;
        const auto from = [&](int64_t first, const auto& use) {
            if (edges.weight_signed) {
                with_pass<kBits, true, kMost>(first, x, offset, edges, use);
            } else {
                with_pass<kBits, false, kMost>(first, x, offset, edges, use);
            }
        };
        if (x.row_bytes <= 16 * kMost) return from(0, body);
        body([&](int64_t begin, int64_t end, int32_t* sums) {
            for (int64_t first = 0; first < x.row_bytes; first += 16 * kMost) {
                from(first, [&](const auto& pass) { pass(begin, end, sums); });
            }
        });
    }

    template <class Body>
    static void with_summation(const Matrix& x, int32_t offset, const Edges& edges, const Body& body) {
        switch (x.bits) {
            case 1: return with_passes<1>(x, offset, edges, body);
            case 2: return with_passes<2>(x, offset, edges, body);
            case 4: return with_passes<4>(x, offset, edges, body);
            default: return with_passes<8>(x, offset, edges, body);
        }
    }

    // kTileRows times 16 * kWide sums.
    template <int kBits, int kWide>
    static void tile_of(const Matrix& x, const uint8_t* const* rows, const int8_t* panel, int64_t width, int64_t words,
                        int32_t* sums) {
        constexpr int kSubwords = 8 / kBits;
        const __m512i mask = _mm512_set1_epi8(static_cast<char>((1 << kBits) - 1));
        const __m512i flipped = _mm512_set1_epi8(static_cast<char>(x.is_signed ? 0x80 : 0));
        __m512i sum[kTileRows][kWide];
        unroll<kTileRows>([&](auto r) MIXQ_INLINE {
            unroll<kWide>([&](auto v) MIXQ_INLINE { sum[r][v] = _mm512_setzero_si512(); });
        });
        for (int64_t d = 0; d < words; ++d) {
            unroll<kSubwords>([&](auto s) MIXQ_INLINE {
                __m512i column[kWide];
                unroll<kWide>([&](auto v) MIXQ_INLINE {
                    column[v] = _mm512_loadu_si512(panel + ((d * kSubwords + s) * width + v * 16) * kLanes);
                });
                unroll<kTileRows>([&](auto r) MIXQ_INLINE {
                    __m512i codes = _mm512_set1_epi32(load_word(rows[r], d));
                    if constexpr (kBits == 8) {
                        codes = _mm512_xor_si512(codes, flipped);
                    } else {
                        codes = _mm512_and_si512(_mm512_srli_epi16(codes, s * kBits), mask);
                    }
                    unroll<kWide>([&](auto v) MIXQ_INLINE { add_products(sum[r][v], codes, column[v]); });
                });
            });
        }
        unroll<kTileRows>([&](auto r) MIXQ_INLINE {
            unroll<kWide>([&](auto v) MIXQ_INLINE { _mm512_storeu_si512(sums + r * width + v * 16, sum[r][v]); });
        });
    }

    template <int kBits>
    static void tile_with(const Matrix& x, const uint8_t* const* rows, const int8_t* panel, int64_t width, int vectors,
                          int64_t words, int32_t* sums) {
        switch (vectors) {
            case 1: return tile_of<kBits, 1>(x, rows, panel, width, words, sums);
            case 2: return tile_of<kBits, 2>(x, rows, panel, width, words, sums);
            case 3: return tile_of<kBits, 3>(x, rows, panel, width, words, sums);
            default: return tile_of<kBits, 4>(x, rows, panel, width, words, sums);
        }
    }

    static void tile(const Matrix& x, const uint8_t* const* rows, const int8_t* panel, int64_t width, int vectors,
                     int64_t words, int32_t* sums) {
        switch (x.bits) {
            case 1: return tile_with<1>(x, rows, panel, width, vectors, words, sums);
            case 2: return tile_with<2>(x, rows, panel, width, vectors, words, sums);
            case 4: return tile_with<4>(x, rows, panel, width, vectors, words, sums);
            default: return tile_with<8>(x, rows, panel, width, vectors, words, sums);
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

    // A requantization made ready for sixteen columns at a time, those of even number apart from those of odd number:
    // two 32-bit factors to a 64-bit lane. Adding half and rounding down rounds half up; ties are then made even.
    struct Rescaling {
        Rescaling(const Rescale* rescale, int64_t columns)
            : source(rescale), bias(rescale == nullptr ? 0 : padded(columns)), multiplier(bias.count) {
            if (rescale == nullptr) return;
            shift = rescale->is_sign ? 32 : rescale->shift;
            const int64_t half = rescale->is_sign ? 0 : int64_t{1} << (shift - 1);
            for (int64_t f = 0; f < bias.count; ++f) {
                const int64_t place = f / 16 * 16 + f % 2 * 8 + f % 16 / 2;
                bias.get()[place] = half + (rescale->bias == nullptr || f >= columns ? 0 : rescale->bias[f]);
                const bool own = rescale->per_column && f < columns;
                multiplier.get()[f] = static_cast<int32_t>(rescale->multiplier[own ? f : 0]);
            }
        }

        static int64_t padded(int64_t columns) { return (columns + 15) / 16 * 16; }

        // Whether the factors of all products of a row have 31 bits, which is what one instruction multiplies.
        bool has_narrow_factors(int64_t row) const {
            constexpr int64_t kLimit = int64_t{1} << 31;
            if (source->largest_multiplier >= kLimit) return false;
            const int64_t own = source->row == nullptr ? 1 : source->row[row];
            return own >= 0 && (own * source->largest_multiplier) >> source->row_shift < kLimit;
        }

        const Rescale* source;
        Scratch<int64_t> bias;  // half included
        Scratch<int32_t> multiplier;
        int shift = 32;
    };

    // What the entries of a row have in common.
    struct RowRescale {
        RowRescale(const Rescaling& rescaling, int64_t row)
            : bias(rescaling.bias.get()),
              multiplier(rescaling.source->per_column ? rescaling.multiplier.get() : nullptr),
              shift(_mm_cvtsi32_si128(rescaling.shift)),
              row_shift(_mm_cvtsi32_si128(rescaling.source->row_shift)),
              fraction(_mm512_set1_epi64((int64_t{1} << rescaling.shift) - 1)) {
            const Rescale& source = *rescaling.source;
            const int64_t own = source.row == nullptr ? 1 : source.row[row];
            row_scale = _mm512_set1_epi64(own);
            all = _mm512_set1_epi64((own * source.multiplier[0]) >> source.row_shift);
            const int64_t zero_point = source.is_sign ? 1 : source.zero_point;
            const int64_t first_integer = source.storage_bits == 8 || source.is_sign ? 0 : source.minimum;
            lowest = _mm512_set1_epi64(source.is_sign ? -1 : source.minimum - zero_point);
            highest = _mm512_set1_epi64(source.is_sign ? 0 : source.maximum - zero_point);
            first_code = _mm512_set1_epi32(static_cast<int>(zero_point - first_integer));
        }

        const int64_t* bias;
        const int32_t* multiplier;  // null: `all` serves every column
        __m128i shift, row_shift;
        __m512i fraction, row_scale, all, lowest, highest, first_code;
    };

    // Sixteen sums to sixteen codes, one in the lowest byte of each 32 bits.
    MIXQ_INLINE static inline __m512i sixteen_codes(__m512i sums, int64_t f, const RowRescale& rescale) {
        __m512i even_multiplier = rescale.all, odd_multiplier = rescale.all;
        if (rescale.multiplier != nullptr) {
            const __m512i own = _mm512_loadu_si512(rescale.multiplier + f);
            even_multiplier = _mm512_sra_epi64(_mm512_mul_epi32(own, rescale.row_scale), rescale.row_shift);
            odd_multiplier = _mm512_mul_epi32(_mm512_srli_epi64(own, 32), rescale.row_scale);
            odd_multiplier = _mm512_sra_epi64(odd_multiplier, rescale.row_shift);
        }
        const int64_t* bias = rescale.bias + f;
        const __m512i even_product = _mm512_mul_epi32(sums, even_multiplier);
        const __m512i odd_product = _mm512_mul_epi32(_mm512_srli_epi64(sums, 32), odd_multiplier);
        const __m512i even = _mm512_add_epi64(even_product, _mm512_loadu_si512(bias));
        const __m512i odd = _mm512_add_epi64(odd_product, _mm512_loadu_si512(bias + 8));
        const __mmask8 even_ties = _mm512_testn_epi64_mask(even, rescale.fraction);
        const __mmask8 odd_ties = _mm512_testn_epi64_mask(odd, rescale.fraction);
        const __m512i not_one = _mm512_set1_epi64(~int64_t{1});
        __m512i low = _mm512_sra_epi64(even, rescale.shift), high = _mm512_sra_epi64(odd, rescale.shift);
        low = _mm512_mask_and_epi64(low, even_ties, low, not_one);
        high = _mm512_mask_and_epi64(high, odd_ties, high, not_one);
        low = _mm512_min_epi64(_mm512_max_epi64(low, rescale.lowest), rescale.highest);
        high = _mm512_min_epi64(_mm512_max_epi64(high, rescale.lowest), rescale.highest);
        const __m512i clamped = _mm512_mask_blend_epi32(0xAAAA, low, _mm512_slli_epi64(high, 32));
        return _mm512_add_epi32(clamped, rescale.first_code);
    }

    // By value: what is written to `codes` cannot change the rescale, so that it stays in registers.
    static void requantize_row(const int32_t* sums, int64_t n, RowRescale rescale, int bits, uint8_t* codes) {
        for (int64_t f = 0; f < n; f += 16) {
            const __mmask16 valid = valid_of(n - f);
            const __m512i sixteen = sixteen_codes(_mm512_maskz_loadu_epi32(valid, sums + f), f, rescale);
            const __m128i bytes = _mm512_maskz_cvtepi32_epi8(valid, sixteen);
            store_packed(bytes, std::min<int64_t>(16, n - f), bits, codes + f * bits / 8);
        }
    }

    static void requantize(const int32_t* sums, int64_t n, const Rescaling& rescaling, int64_t row, uint8_t* codes) {
        if (rescaling.has_narrow_factors(row)) {
            requantize_row(sums, n, RowRescale(rescaling, row), rescaling.source->storage_bits, codes);
        } else {
            requantize_scalar(sums, n, *rescaling.source, row, codes);
        }
    }

    // Up to sixteen codes, zeros past the last, to their bytes.
    static void store_packed(__m128i bytes, int64_t count, int bits, uint8_t* target) {
        if (bits == 1) {
            bytes = _mm_cvtsi32_si128(_mm_test_epi8_mask(bytes, bytes));
        } else if (bits == 2) {
            const __m128i pairs = _mm_maddubs_epi16(bytes, _mm_set1_epi16(0x0401));
            bytes = _mm_cvtepi32_epi8(_mm_madd_epi16(pairs, _mm_set1_epi32(0x00100001)));
        } else if (bits == 4) {
            bytes = _mm_cvtepi16_epi8(_mm_maddubs_epi16(bytes, _mm_set1_epi16(0x1001)));
        }
        if (count < 16) {
            store_first_bytes(target, bytes, (count * bits + 7) / 8);
        } else if (bits == 8) {
            _mm_storeu_si128(reinterpret_cast<__m128i*>(target), bytes);
        } else if (bits == 4) {
            _mm_storel_epi64(reinterpret_cast<__m128i*>(target), bytes);
        } else {
            const int word = _mm_cvtsi128_si32(bytes);
            bits == 2 ? __builtin_memcpy(target, &word, 4) : __builtin_memcpy(target, &word, 2);
        }
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
