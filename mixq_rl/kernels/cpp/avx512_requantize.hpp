// Rows of sums to where they belong: past the caches, or requantized and packed.
#pragma once

#include "avx512_codes.hpp"
#include "rows.hpp"
#include "scalar.hpp"

namespace mixq {
namespace {

struct Avx512Requantize : Avx512Codes {
    static constexpr bool kStreams = true;

    static void fence() { _mm_sfence(); }

    static void stream(const int32_t* sums, int64_t n, int32_t* out) {
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

    // kVectors times sixteen sums from column f on to bytes of codes, in order; `valid` are those of the last sixteen.
    template <int kVectors, bool kPerColumn>
    MIXQ_INLINE static inline __m512i codes_of(const int32_t* sums, int64_t f, __mmask16 valid,
                                               const RowRescale<kPerColumn>& rescale, const Rescaling& rescaling,
                                               int64_t row) {
        __m512i given[4], codes[4];
        unroll<kVectors - 1>([&](auto v) MIXQ_INLINE { given[v] = _mm512_loadu_si512(sums + f + 16 * v); });
        given[kVectors - 1] = _mm512_maskz_loadu_epi32(valid, sums + f + 16 * (kVectors - 1));
        round_to_codes<kVectors>(given, [=](int v) { return f + 16 * v; }, rescale, rescaling, row, codes);
        return bytes_of(codes, rescaling);
    }

    static void requantize(const int32_t* sums, int64_t n, const Rescaling& rescaling, int64_t row, uint8_t* codes) {
        if (rescaling.source->per_column) return requantize<true>(sums, n, rescaling, row, codes);
        requantize<false>(sums, n, rescaling, row, codes);
    }

    template <bool kPerColumn>
    static void requantize(const int32_t* sums, int64_t n, const Rescaling& rescaling, int64_t row, uint8_t* codes) {
        const RowRescale<kPerColumn> rescale(rescaling, row);
        const int bits = rescaling.source->storage_bits;
        if (!rescale.is_narrow) return requantize_scalar(sums, n, *rescaling.source, row, codes);
        if (bits == 1) return requantize_signs(sums, n, rescale, codes);
        int64_t f = 0;
        for (; f + 64 <= n; f += 64) {
            const __m512i bytes = codes_of<4>(sums, f, 0xFFFF, rescale, rescaling, row);
            store_packed(bytes, 64, bits, codes + f * bits / 8);
        }
        if (f == n) return;
        with_vectors((n - f + 15) / 16, [&](auto vectors) MIXQ_INLINE {
            constexpr int kVectors = decltype(vectors)::value;
            const __mmask16 valid = valid_of(n - f - 16 * (kVectors - 1));
            const __m512i bytes = codes_of<kVectors>(sums, f, valid, rescale, rescaling, row);
            const __m512i kept = _mm512_maskz_mov_epi8((uint64_t{1} << (n - f)) - 1, bytes);
            store_packed(kept, n - f, bits, codes + f * bits / 8);
        });
    }

    template <class Body>
    static void with_vectors(int64_t count, const Body& body) {
        switch (count) {
            case 1: return body(Index<1>{});
            case 2: return body(Index<2>{});
            case 3: return body(Index<3>{});
            default: return body(Index<4>{});
        }
    }

    template <bool kPerColumn>
    MIXQ_INLINE static inline void requantize_signs(const int32_t* sums, int64_t n,
                                                    const RowRescale<kPerColumn>& rescale, uint8_t* codes) {
        const auto are_negative = [&](__m512i sixteen, int64_t f) MIXQ_INLINE {
            __m512i even, odd;
            rescale.multiply(sixteen, f, even, odd);
            return _mm512_movepi32_mask(upper_halves(even, odd));
        };
        int64_t f = 0;
        for (; f + 16 <= n; f += 16) {
            const uint16_t word = static_cast<uint16_t>(~are_negative(_mm512_loadu_si512(sums + f), f));
            std::memcpy(codes + f / 8, &word, 2);
        }
        if (f == n) return;
        const __mmask16 valid = valid_of(n - f);
        const int word = valid & ~are_negative(_mm512_maskz_loadu_epi32(valid, sums + f), f);
        codes[f / 8] = static_cast<uint8_t>(word);
        if (n - f > 8) codes[f / 8 + 1] = static_cast<uint8_t>(word >> 8);
    }

};

}  // namespace
}  // namespace mixq
