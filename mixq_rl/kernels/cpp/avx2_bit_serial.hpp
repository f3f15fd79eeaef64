// Products of nibbles by a table of AVX2: four digits of one bit, or two of two bits, to an entry.
#pragma once

#include "bit_serial.hpp"
#include "scalar.hpp"

namespace mixq {
namespace {

constexpr DigitProducts<4> kSingles(1), kPairs(2);

struct Avx2Digits : RowByRow<Avx2Digits> {
    using Lane = uint8_t;  // one nibble: the index of a vpshufb
    static constexpr int kVector = 32;
    static constexpr int kTileRows = 4;
    static constexpr int kTileColumns = 64;

    static Digits digits(int x_bits, int weight_bits) {
        return x_bits == 1 || weight_bits == 1 ? Digits{1, 1, 4, 2} : Digits{2, 2, 2, 2};
    }

    static int64_t lane_of(int64_t column) { return column; }

    static __m256i table(const DigitProducts<4>& products, int nibble) {
        const auto* row = reinterpret_cast<const __m128i*>(products.entry + nibble * 16);
        return _mm256_broadcastsi128_si256(_mm_load_si128(row));
    }

    template <int kDigit, int kWide>
    static void add_of(const Strip<Lane>& strip, int32_t* sums, int64_t width) {
        constexpr const DigitProducts<4>& kProducts = kDigit == 1 ? kSingles : kPairs;
        constexpr int64_t kBytes = 255 / (kDigit == 1 ? 4 : 18) / 2;  // of a row: as many as eight bits hold the sums of
        const int64_t bytes = strip.groups / 2;
        for (int64_t begin = 0; begin < bytes; begin += kBytes) {
            const int64_t end = std::min(begin + kBytes, bytes);
            __m256i sum[kTileRows][kWide];
            for (auto& row : sum)
                for (auto& vector : row) vector = _mm256_setzero_si256();
            for (int64_t place = begin; place < end; ++place) {
                for (int half = 0; half < 2; ++half) {
                    __m256i column[kWide];
                    for (int v = 0; v < kWide; ++v) {
                        const uint8_t* source = strip.lanes + ((2 * place + half) * kWide + v) * 32;
                        column[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source));
                    }
                    for (int r = 0; r < kTileRows; ++r) {
                        const __m256i products = table(kProducts, strip.rows[r][place] >> (4 * half) & 15);
                        for (int v = 0; v < kWide; ++v) {
                            sum[r][v] = _mm256_add_epi8(sum[r][v], _mm256_shuffle_epi8(products, column[v]));
                        }
                    }
                }
            }
            for (int r = 0; r < kTileRows; ++r) {
                for (int v = 0; v < kWide; ++v) add_bytes(sum[r][v], strip.shift, sums + r * width + v * 32);
            }
        }
    }

    static void add_bytes(__m256i bytes, int shift, int32_t* sums) {
        alignas(32) uint8_t entries[32];
        _mm256_store_si256(reinterpret_cast<__m256i*>(entries), bytes);
        const __m128i places = _mm_cvtsi32_si128(shift);
        for (int i = 0; i < 4; ++i) {
            const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(entries + 8 * i));
            __m256i* target = reinterpret_cast<__m256i*>(sums + 8 * i);
            const __m256i shifted = _mm256_sll_epi32(_mm256_cvtepu8_epi32(eight), places);
            _mm256_storeu_si256(target, _mm256_add_epi32(_mm256_loadu_si256(target), shifted));
        }
    }

    template <int kDigit>
    static void add_digits(const Strip<Lane>& strip, int32_t* sums, int64_t width) {
        if (strip.vectors == 1) {
            add_of<kDigit, 1>(strip, sums, width);
        } else {
            add_of<kDigit, 2>(strip, sums, width);
        }
    }

    static void add(const Strip<Lane>& strip, int32_t* sums, int64_t width) {
        strip.x_digit == 1 ? add_digits<1>(strip, sums, width) : add_digits<2>(strip, sums, width);
    }
};

}  // namespace
}  // namespace mixq
