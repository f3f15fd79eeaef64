// Products: four columns of x to a vpdpbusd.
#pragma once

#include "avx512_vectors.hpp"
#include "linear.hpp"

namespace mixq {
namespace {

struct Avx512Linear {
    using Lane = int8_t;
    static constexpr int kLanes = 4;
    static constexpr int kVector = 16;
    static constexpr int kTileRows = 6;
    static constexpr int kTileColumns = 64;

    // kTileRows times 16 * kWide sums. Inlined where it is called, the narrow ones would take twice as long.
    template <int kBits, int kWide>
    __attribute__((noinline)) static void tile_of(const Matrix& x, const uint8_t* const* rows, const int8_t* panel,
                                                  int64_t width, int64_t words, int32_t* sums) {
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
        with_bits(x.bits, [&](auto bits) {
            tile_with<decltype(bits)::value>(x, rows, panel, width, vectors, words, sums);
        });
    }
};

}  // namespace
}  // namespace mixq
