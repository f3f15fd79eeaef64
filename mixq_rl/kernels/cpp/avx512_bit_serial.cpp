// Products of few bits with AVX-512: common ones by vpopcntd, products of two bits by tables that vpermb looks up.
#include "engine.hpp"

#if defined(MIXQ_X86)

#include "target_headers.hpp"

#define MIXQ_INLINE __attribute__((always_inline))
// Two more than in avx512.cpp: there are processors with VNNI that have neither vpopcntd nor vpermb.
#define MIXQ_TARGET "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vpopcntdq,avx512vbmi"
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target(MIXQ_TARGET))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vpopcntdq,avx512vbmi")
#endif

#include "avx512_requantize.hpp"
#include "bit_serial.hpp"

namespace mixq {
namespace {

struct Avx512Counts : Avx512Requantize {
    using Lane = uint32_t;
    static constexpr int kVector = 16;
    static constexpr int kTileRows = 6;
    static constexpr int kTileColumns = 64;

    static Digits digits(int, int) { return {1, 1, 32, 1}; }

    static int64_t lane_of(int64_t column) { return column; }

    template <int kWide>
    static void add_of(const Strip<Lane>& strip, int32_t* sums, int64_t width) {
        __m512i sum[kTileRows][kWide];
        unroll<kTileRows>([&](auto r) MIXQ_INLINE {
            unroll<kWide>([&](auto v) MIXQ_INLINE { sum[r][v] = _mm512_setzero_si512(); });
        });
        for (int64_t g = 0; g < strip.groups; ++g) {
            __m512i column[kWide];
            unroll<kWide>([&](auto v) MIXQ_INLINE { column[v] = _mm512_loadu_si512(strip.lanes + (g * kWide + v) * 16); });
            unroll<kTileRows>([&](auto r) MIXQ_INLINE {
                const __m512i word = _mm512_set1_epi32(load_word(strip.rows[r], g));
                unroll<kWide>([&](auto v) MIXQ_INLINE {
                    const __m512i common = _mm512_and_si512(word, column[v]);
                    sum[r][v] = _mm512_add_epi32(sum[r][v], _mm512_popcnt_epi32(common));
                });
            });
        }
        const __m128i places = _mm_cvtsi32_si128(strip.shift);
        unroll<kTileRows>([&](auto r) MIXQ_INLINE {
            unroll<kWide>([&](auto v) MIXQ_INLINE {
                int32_t* target = sums + r * width + v * 16;
                const __m512i shifted = _mm512_sll_epi32(sum[r][v], places);
                _mm512_storeu_si512(target, _mm512_add_epi32(_mm512_loadu_si512(target), shifted));
            });
        });
    }

    static void add(const Strip<Lane>& strip, int32_t* sums, int64_t width) {
        switch (strip.vectors) {
            case 1: return add_of<1>(strip, sums, width);
            case 2: return add_of<2>(strip, sums, width);
            case 3: return add_of<3>(strip, sums, width);
            default: return add_of<4>(strip, sums, width);
        }
    }
};

constexpr DigitProducts<6> kTriples(2);

// Of four pairs of planes, each counted by itself, comes one look-up for three products.
struct Avx512Pairs : Avx512Requantize {
    using Lane = uint8_t;  // three digits
    static constexpr int kVector = 64;
    static constexpr int kTileRows = 4;
    static constexpr int kTileColumns = 128;
    static constexpr int64_t kPeriods = 2;    // whose products, 27 at most, eight bits hold the sums of
    static constexpr int64_t kFlushes = 256;  // of those, what sixteen bits hold the sums of

    static Digits digits(int, int) { return {2, 2, 3, 4}; }

    // Columns 0...31 of a vector are its even bytes: the low halves of words of 16 bits.
    static int64_t lane_of(int64_t column) { return column / 64 * 64 + column % 32 * 2 + column % 64 / 32; }

    template <int kWide>
    static void add_of(const Strip<Lane>& strip, int32_t* sums, int64_t width) {
        const int64_t periods = strip.groups / 4;
        const __m512i low_byte = _mm512_set1_epi16(0xFF);
        for (int64_t begin = 0; begin < periods; begin += kPeriods * kFlushes) {
            const int64_t end = std::min(begin + kPeriods * kFlushes, periods);
            __m512i low[kTileRows][kWide], high[kTileRows][kWide];
            unroll<kTileRows>([&](auto r) MIXQ_INLINE {
                unroll<kWide>([&](auto v) MIXQ_INLINE { low[r][v] = high[r][v] = _mm512_setzero_si512(); });
            });
            for (int64_t flush = begin; flush < end; flush += kPeriods) {
                __m512i sum[kTileRows][kWide];
                unroll<kTileRows>([&](auto r) MIXQ_INLINE {
                    unroll<kWide>([&](auto v) MIXQ_INLINE { sum[r][v] = _mm512_setzero_si512(); });
                });
                for (int64_t p = flush; p < std::min(flush + kPeriods, end); ++p) {
                    unroll<4>([&](auto s) MIXQ_INLINE {
                        __m512i column[kWide];
                        unroll<kWide>([&](auto v) MIXQ_INLINE {
                            column[v] = _mm512_loadu_si512(strip.lanes + ((4 * p + s) * kWide + v) * 64);
                        });
                        unroll<kTileRows>([&](auto r) MIXQ_INLINE {
                            const int triple = load_word(strip.rows[r] + 3 * p, 0) >> (6 * s) & 63;
                            const __m512i products = _mm512_load_si512(kTriples.entry + 64 * triple);
                            unroll<kWide>([&](auto v) MIXQ_INLINE {
                                sum[r][v] = _mm512_add_epi8(sum[r][v], _mm512_permutexvar_epi8(column[v], products));
                            });
                        });
                    });
                }
                unroll<kTileRows>([&](auto r) MIXQ_INLINE {
                    unroll<kWide>([&](auto v) MIXQ_INLINE {
                        low[r][v] = _mm512_add_epi16(low[r][v], _mm512_and_si512(sum[r][v], low_byte));
                        high[r][v] = _mm512_add_epi16(high[r][v], _mm512_srli_epi16(sum[r][v], 8));
                    });
                });
            }
            unroll<kTileRows>([&](auto r) MIXQ_INLINE {
                unroll<kWide>([&](auto v) MIXQ_INLINE {
                    add_words(low[r][v], strip.shift, sums + r * width + v * 64);
                    add_words(high[r][v], strip.shift, sums + r * width + v * 64 + 32);
                });
            });
        }
    }

    static void add_words(__m512i words, int shift, int32_t* sums) {
        const __m128i places = _mm_cvtsi32_si128(shift);
        const __m256i halves[2] = {_mm512_castsi512_si256(words), _mm512_extracti64x4_epi64(words, 1)};
        for (int i = 0; i < 2; ++i) {
            const __m512i shifted = _mm512_sll_epi32(_mm512_cvtepu16_epi32(halves[i]), places);
            _mm512_storeu_si512(sums + 16 * i, _mm512_add_epi32(_mm512_loadu_si512(sums + 16 * i), shifted));
        }
    }

    static void add(const Strip<Lane>& strip, int32_t* sums, int64_t width) {
        strip.vectors == 1 ? add_of<1>(strip, sums, width) : add_of<2>(strip, sums, width);
    }
};

bool has_pairs(int x_bits, int weight_bits) { return x_bits == 2 && weight_bits == 2; }

// By measurement (docs/kernels.md): to split a row costs the more the more bits it has, and pays if many products follow.
bool is_faster(const Matrix& x, const Matrix& weight) {
    if (x.bits == 1) return weight.rows >= (weight.bits <= 2 ? 128 : 512);
    return x.bits * weight.bits <= 4 && x.bits == 2 && weight.rows >= 256 && weight.columns >= 64;
}

int64_t layout_bytes(const Matrix& weight, int x_bits) {
    const bool pairs = has_pairs(x_bits, weight.bits);
    return pairs ? Layout<Avx512Pairs>::bytes(weight, x_bits) : Layout<Avx512Counts>::bytes(weight, x_bits);
}

void lay_out(const Matrix& weight, int x_bits, uint8_t* layout, int threads) {
    const bool pairs = has_pairs(x_bits, weight.bits);
    (pairs ? Layout<Avx512Pairs>::fill : Layout<Avx512Counts>::fill)(weight, x_bits, layout, threads);
}

void product(const Matrix& x, const Matrix& weight, const uint8_t* layout, const Output& out, int threads) {
    const bool pairs = has_pairs(x.bits, weight.bits);
    (pairs ? linear_by_bits<Avx512Pairs> : linear_by_bits<Avx512Counts>)(x, weight, layout, out, threads);
}

}  // namespace

const BitSerial avx512_bit_serial{&is_faster, &layout_bytes, &lay_out, &product};

}  // namespace mixq

#include "target_end.hpp"

#endif  // MIXQ_X86
