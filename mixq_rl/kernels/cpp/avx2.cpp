// The operations with AVX2: codes widened to 16 bits, two neighbours (or two columns) to a vpmaddwd.
#include "engine.hpp"

#if defined(MIXQ_X86)

#include "target_headers.hpp"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#include "aggregate.hpp"
#include "avx2_bit_serial.hpp"
#include "join.hpp"
#include "linear.hpp"
#include "scalar.hpp"

namespace mixq {
namespace {

struct Avx2 : RowByRow<Avx2> {
    using Lane = int16_t;
    static constexpr int kLanes = 2;
    static constexpr int kVector = 8;
    static constexpr int kTileRows = 4;
    static constexpr int kTileColumns = 16;
    static constexpr int kAhead = 16;
    static constexpr int kCodes = 64;  // columns of a pass: eight accumulators

    static int32_t flip(const Matrix& x, bool) { return x.is_signed ? -128 : 0; }

    // Sixteen bytes of a row; past the matrix's end they are not touched.
    static __m128i load(const uint8_t* place, const uint8_t* matrix_end) {
        if (matrix_end - place >= 16) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(place));
        alignas(16) uint8_t bytes[16] = {};
        for (int64_t i = 0; i < matrix_end - place; ++i) bytes[i] = place[i];
        return _mm_load_si128(reinterpret_cast<const __m128i*>(bytes));
    }

    // Columns [first, first + kCodes) of a row's sums.
    template <int kBits>
    static void pass(const Matrix& x, int32_t offset, const Edges& edges, int64_t begin, int64_t end, int64_t first,
                     int32_t* sums) {
        constexpr int kPerByte = 8 / kBits;
        constexpr int kWords = kCodes * kBits / 8 < 16 ? 1 : kCodes * kBits / 8 / 16;  // of 16 bytes
        constexpr int kHalves = kBits == 1 ? 1 : 2;                                    // of 8 bytes
        const __m256i mask = _mm256_set1_epi16((1 << kBits) - 1);
        const __m128i flipped = _mm_set1_epi8(static_cast<char>(x.is_signed ? 0x80 : 0));
        const int32_t* col = edges.col;
        const uint8_t* base = x.data + first / kPerByte;
        const uint8_t* matrix_end = x.data + x.rows * x.row_bytes;
        __m256i sum[kWords][kHalves][kPerByte];
        for (auto& word : sum)
            for (auto& half : word)
                for (auto& vector : half) vector = _mm256_setzero_si256();
        int32_t total = 0;
        for (int64_t e = begin; e < end; e += 2) {
            const bool pair = e + 1 < end;
            const uint8_t* left = base + col[e] * x.row_bytes;
            const uint8_t* right = base + col[pair ? e + 1 : e] * x.row_bytes;
            if (e + kAhead + 1 < edges.count) {
                _mm_prefetch(reinterpret_cast<const char*>(base + col[e + kAhead] * x.row_bytes), _MM_HINT_T0);
                _mm_prefetch(reinterpret_cast<const char*>(base + col[e + kAhead + 1] * x.row_bytes), _MM_HINT_T0);
            }
            int32_t first_weight = 1, second_weight = pair ? 1 : 0;
            if (edges.weight != nullptr) {
                first_weight = edges.weight_signed ? static_cast<int8_t>(edges.weight[e]) : edges.weight[e];
                if (pair) {
                    const uint8_t byte = edges.weight[e + 1];
                    second_weight = edges.weight_signed ? static_cast<int8_t>(byte) : byte;
                }
            }
            total += first_weight + second_weight;
            const __m256i weights = _mm256_set1_epi32((second_weight << 16) | (first_weight & 0xFFFF));
            for (int word = 0; word < kWords; ++word) {
                // Nothing of a row is left: its accumulators are not stored either.
                if (first / kPerByte + 16 * word >= x.row_bytes) break;
                const __m128i a = _mm_xor_si128(load(left + 16 * word, matrix_end), flipped);
                const __m128i b = _mm_xor_si128(load(right + 16 * word, matrix_end), flipped);
                for (int half = 0; half < kHalves; ++half) {
                    const __m128i bytes = half == 0 ? _mm_unpacklo_epi8(a, b) : _mm_unpackhi_epi8(a, b);
                    const __m256i wide = _mm256_cvtepu8_epi16(bytes);
                    for (int s = 0; s < kPerByte; ++s) {
                        const __m256i codes = _mm256_and_si256(_mm256_srli_epi16(wide, s * kBits), mask);
                        sum[word][half][s] = _mm256_add_epi32(sum[word][half][s], _mm256_madd_epi16(codes, weights));
                    }
                }
            }
        }
        // Entry i of sum[word][half][s] belongs to column ((2 * word + half) * 8 + i) * kPerByte + s.
        alignas(32) int32_t entries[kWords * kHalves][kPerByte][8];
        for (int word = 0; word < kWords; ++word) {
            for (int half = 0; half < kHalves; ++half) {
                for (int s = 0; s < kPerByte; ++s) {
                    __m256i* target = reinterpret_cast<__m256i*>(entries[word * kHalves + half][s]);
                    _mm256_store_si256(target, sum[word][half][s]);
                }
            }
        }
        const int64_t count = std::min<int64_t>(kCodes, x.columns - first);
        for (int64_t f = 0; f < count; ++f) {
            const int64_t place = f / kPerByte;
            sums[first + f] = x.step * entries[place / 8][f % kPerByte][place % 8] + offset * total;
        }
    }

    static void sum_neighbours(const Matrix& x, int32_t offset, const Edges& edges, int64_t begin, int64_t end,
                               int32_t* sums) {
        for (int64_t first = 0; first < x.columns; first += kCodes) {
            with_bits(x.bits, [&](auto bits) {
                pass<decltype(bits)::value>(x, offset, edges, begin, end, first, sums);
            });
        }
    }

    template <int kBits, int kVectors>
    static void tile_of(const Matrix& x, const uint8_t* const* rows, const int16_t* panel, int64_t width, int64_t words,
                        int32_t* sums) {
        constexpr int kSubwords = 16 / kBits;
        const __m256i mask = _mm256_set1_epi16((1 << kBits) - 1);
        const __m256i flipped = _mm256_set1_epi8(static_cast<char>(x.is_signed ? 0x80 : 0));
        __m256i sum[kTileRows][kVectors];
        for (auto& row : sum)
            for (auto& vector : row) vector = _mm256_setzero_si256();
        for (int64_t d = 0; d < words; ++d) {
            __m256i word[kTileRows];
            for (int r = 0; r < kTileRows; ++r) {
                word[r] = _mm256_xor_si256(_mm256_set1_epi32(load_word(rows[r], d)), flipped);
            }
            for (int s = 0; s < kSubwords; ++s) {
                const int16_t* weights = panel + (d * kSubwords + s) * width * kLanes;
                __m256i column[kVectors];
                for (int v = 0; v < kVectors; ++v) {
                    column[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + v * 16));
                }
                for (int r = 0; r < kTileRows; ++r) {
                    const __m256i codes = _mm256_and_si256(_mm256_srli_epi16(word[r], s * kBits), mask);
                    for (int v = 0; v < kVectors; ++v) {
                        sum[r][v] = _mm256_add_epi32(sum[r][v], _mm256_madd_epi16(codes, column[v]));
                    }
                }
            }
        }
        for (int r = 0; r < kTileRows; ++r) {
            for (int v = 0; v < kVectors; ++v) {
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + r * width + v * 8), sum[r][v]);
            }
        }
    }

    template <int kBits>
    static void tile_with(const Matrix& x, const uint8_t* const* rows, const int16_t* panel, int64_t width, int vectors,
                          int64_t words, int32_t* sums) {
        if (vectors == 1) {
            tile_of<kBits, 1>(x, rows, panel, width, words, sums);
        } else {
            tile_of<kBits, 2>(x, rows, panel, width, words, sums);
        }
    }

    static void tile(const Matrix& x, const uint8_t* const* rows, const int16_t* panel, int64_t width, int vectors,
                     int64_t words, int32_t* sums) {
        with_bits(x.bits, [&](auto bits) {
            tile_with<decltype(bits)::value>(x, rows, panel, width, vectors, words, sums);
        });
    }
};

// By measurement (docs/kernels.md): narrow results leave most of a vector of 32 columns empty.
bool is_faster(const Matrix& x, const Matrix& weight) {
    if (x.bits <= 2 && x.bits * weight.bits <= 4) return weight.rows >= 64 && weight.columns > 32;
    return weight.rows >= 128 && weight.columns >= 64;
}

}  // namespace

const Engine avx2{&linear<Avx2>, &aggregate<Avx2>, &join_rows<Avx2>};
const BitSerial avx2_bit_serial{&is_faster, &Layout<Avx2Digits>::bytes, &Layout<Avx2Digits>::fill,
                                &linear_by_bits<Avx2Digits>};

}  // namespace mixq

#include "target_end.hpp"

#endif  // MIXQ_X86
