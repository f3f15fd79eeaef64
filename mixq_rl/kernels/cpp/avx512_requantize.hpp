// Rows of sums to where they belong: past the caches, or requantized and packed.
#pragma once

#include "avx512_vectors.hpp"
#include "rows.hpp"
#include "scalar.hpp"

namespace mixq {
namespace {

struct Avx512Requantize {
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

    // A requantization made ready for sixteen columns at a time, those of even number apart from those of odd number:
    // two 32-bit factors to a 64-bit lane. Adding half and rounding down rounds half up; ties are then made even.
    struct Rescaling {
        Rescaling(const Rescale* rescale, int64_t columns)
            : source(rescale), bias(rescale == nullptr ? 0 : padded(columns)), multiplier(bias.count) {
            if (rescale == nullptr) return;
            shift = rescale->is_sign ? 32 : rescale->shift;
            row_shift = rescale->row == nullptr ? 0 : rescale->row_shift;
            const int64_t half = rescale->is_sign ? 0 : int64_t{1} << (shift - 1);
            for (int64_t f = 0; f < bias.count; ++f) {
                const int64_t place = f / 16 * 16 + f % 2 * 8 + f % 16 / 2;
                bias.get()[place] = half + (rescale->bias == nullptr || f >= columns ? 0 : rescale->bias[f]);
                const bool own = rescale->per_column && f < columns;
                multiplier.get()[f] = static_cast<int32_t>(rescale->multiplier[own ? f : 0]);
            }
            const int64_t zero_point = rescale->is_sign ? 1 : rescale->zero_point;
            const int64_t first_integer = rescale->storage_bits == 8 || rescale->is_sign ? 0 : rescale->minimum;
            fraction = _mm512_set1_epi64((int64_t{1} << shift) - 1);
            lowest = _mm512_set1_epi64(rescale->is_sign ? -1 : rescale->minimum - zero_point);
            highest = _mm512_set1_epi64(rescale->is_sign ? 0 : rescale->maximum - zero_point);
            first_code = _mm512_set1_epi32(static_cast<int>(zero_point - first_integer));
        }

        static int64_t padded(int64_t columns) { return (columns + 15) / 16 * 16; }

        // Whether the factors of all products of a row have 31 bits, which is what one instruction multiplies.
        bool has_narrow_factors(int64_t row) const {
            constexpr int64_t kLimit = int64_t{1} << 31;
            const int64_t own = source->row == nullptr ? 1 : source->row[row];
            return own >= 0 && (own * source->largest_multiplier) >> row_shift < kLimit;
        }

        const Rescale* source;
        Scratch<int64_t> bias;  // half included
        Scratch<int32_t> multiplier;
        int shift = 32, row_shift = 0;
        __m512i fraction, lowest, highest, first_code;
    };

    // What the entries of a row have in common; a copy, which stays in registers whatever is written meanwhile.
    struct RowRescale {
        RowRescale(const Rescaling& rescaling, int64_t row)
            : bias(rescaling.bias.get()),
              multiplier(rescaling.source->per_column ? rescaling.multiplier.get() : nullptr),
              shift(_mm_cvtsi32_si128(rescaling.shift)),
              row_shift(_mm_cvtsi32_si128(rescaling.row_shift)),
              fraction(rescaling.fraction),
              lowest(rescaling.lowest),
              highest(rescaling.highest),
              first_code(rescaling.first_code) {
            const int64_t own = rescaling.source->row == nullptr ? 1 : rescaling.source->row[row];
            row_scale = _mm512_set1_epi64(own);
            all = _mm512_set1_epi64((own * rescaling.source->multiplier[0]) >> rescaling.row_shift);
        }

        const int64_t* bias;
        const int32_t* multiplier;  // null: `all` serves every column
        __m128i shift, row_shift;
        __m512i fraction, lowest, highest, first_code, row_scale, all;
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

    static void requantize(const int32_t* sums, int64_t n, const Rescaling& rescaling, int64_t row, uint8_t* codes) {
        if (!rescaling.has_narrow_factors(row)) return requantize_scalar(sums, n, *rescaling.source, row, codes);
        const RowRescale rescale(rescaling, row);
        const int bits = rescaling.source->storage_bits;
        int64_t f = 0;
        for (; f + 16 <= n; f += 16) {
            const __m512i sixteen = sixteen_codes(_mm512_loadu_si512(sums + f), f, rescale);
            store_packed(_mm512_cvtepi32_epi8(sixteen), 16, bits, codes + f * bits / 8);
        }
        if (f < n) {
            const __mmask16 valid = valid_of(n - f);
            const __m512i sixteen = sixteen_codes(_mm512_maskz_loadu_epi32(valid, sums + f), f, rescale);
            store_packed(_mm512_maskz_cvtepi32_epi8(valid, sixteen), n - f, bits, codes + f * bits / 8);
        }
    }

    // Up to sixteen codes, zeros past the last, to their bytes.
    MIXQ_INLINE static inline void store_packed(__m128i bytes, int64_t count, int bits, uint8_t* target) {
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
            bits == 2 ? std::memcpy(target, &word, 4) : std::memcpy(target, &word, 2);
        }
    }
};

}  // namespace
}  // namespace mixq
