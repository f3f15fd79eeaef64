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
    // two 32-bit factors to a 64-bit lane. A product plus its column's bias is a code with a fraction behind it. Half a
    // code and the zero point are part of the bias, so rounding down rounds half up; ties are then made even. At one
    // bit the bias is taken off the threshold between the two codes: the sign of the sum decides.
    struct Rescaling {
        // Of codes with what is beyond them; of a product before the point, and of a bias.
        static constexpr int kCodeBits = 16, kBiasBits = 12, kProductBits = 14;

        Rescaling(const Rescale* rescale, int64_t columns)
            : source(rescale), bias(rescale == nullptr ? 0 : padded(columns)), multiplier(bias.count) {
            if (rescale == nullptr) return;
            const bool one_bit = rescale->storage_bits == 1;
            const int64_t unit = int64_t{1} << rescale->shift;
            const int64_t first = rescale->zero_point - rescale->minimum;
            const int64_t constant = one_bit ? -threshold(*rescale) : unit / 2 + first * unit;
            const int place_of_codes = one_bit || rescale->per_column ? 0 : 64 - kCodeBits - rescale->shift;
            is_narrow = rescale->shift >= kCodeBits || one_bit || !rescale->per_column;
            for (int64_t f = 0; f < bias.count; ++f) {
                const int64_t place = f / 16 * 16 + f % 2 * 8 + f % 16 / 2;
                const int64_t given = rescale->bias == nullptr || f >= columns ? 0 : rescale->bias[f];
                is_narrow = is_narrow && given <= unit << kBiasBits && given >= -(unit << kBiasBits);
                bias.get()[place] = (constant + given) << place_of_codes;
                const bool own = rescale->per_column && f < columns;
                multiplier.get()[f] = static_cast<int32_t>(rescale->multiplier[own ? f : 0]);
            }
            odd_zero = (first & 1) != 0;
            last_code = _mm512_set1_epi8(static_cast<char>(rescale->maximum - rescale->minimum));
            first_integer = _mm512_set1_epi8(static_cast<char>(rescale->storage_bits == 8 ? rescale->minimum : 0));
        }

        static int64_t padded(int64_t columns) { return (columns + 15) / 16 * 16; }

        // The least value whose code is 1, of codes 0 and 1.
        static int64_t threshold(const Rescale& rescale) {
            if (rescale.is_sign) return 0;
            const int64_t least = rescale.minimum + 1 - rescale.zero_point;
            return (2 * least - 1) * (int64_t{1} << (rescale.shift - 1)) + (least & 1);
        }

        const Rescale* source;
        Scratch<int64_t> bias;
        Scratch<int32_t> multiplier;
        bool is_narrow = false, odd_zero = false;
        __m512i last_code, first_integer;
    };

    // What the entries of a row have in common: what they are multiplied by, how sums or codes are shifted and clamped.
    template <bool kPerColumn>
    struct RowRescale {
        MIXQ_INLINE RowRescale(const Rescaling& rescaling, int64_t row)
            : bias(rescaling.bias.get()), multiplier(rescaling.multiplier.get()) {
            const Rescale& source = *rescaling.source;
            const int64_t own = source.row == nullptr ? 1 : source.row[row];
            const int row_bits = source.row == nullptr ? 0 : source.row_shift;
            const int64_t largest = (own * source.largest_multiplier) >> row_bits;
            // Factors of 31 bits are what one instruction multiplies.
            is_narrow = rescaling.is_narrow && own >= 0 && largest < int64_t{1} << 31;
            row_shift = _mm_cvtsi32_si128(row_bits);
            factor = _mm512_set1_epi64(kPerColumn ? own : largest);
            if (source.storage_bits == 1) return;
            if constexpr (kPerColumn) {
                shift = _mm_cvtsi32_si128(source.shift - Rescaling::kCodeBits);
                lowest = _mm512_set1_epi64(-INT32_MAX);
                highest = _mm512_set1_epi64(INT32_MAX);
                return;
            }
            // Sums beyond 2^k have the first or the last code: their products are 2^13 and more, bias and zero point
            // together less. Those of other sums can be shifted until their codes are at the top.
            const int length = 64 - __builtin_clzll(static_cast<uint64_t>(largest | 1));
            const int k = source.shift + Rescaling::kProductBits - length;
            const int up = 64 - Rescaling::kCodeBits - source.shift, of_factor = std::min(31 - length, up);
            is_narrow = is_narrow && k >= 2;
            if (!is_narrow) return;
            factor = _mm512_set1_epi64(largest << of_factor);
            shift = _mm_cvtsi32_si128(up - of_factor);
            const int32_t last = static_cast<int32_t>((int64_t{1} << std::min(k, 31)) - 1);
            highest = _mm512_set1_epi32(last);
            lowest = _mm512_set1_epi32(-1 - last);
        }

        // Products of sixteen sums, with the biases of their columns: of even columns, and of odd ones.
        MIXQ_INLINE inline void multiply(__m512i sums, int64_t f, __m512i& even, __m512i& odd) const {
            __m512i even_factor = factor, odd_factor = factor;
            if constexpr (kPerColumn) {
                const __m512i own = _mm512_loadu_si512(multiplier + f);
                even_factor = _mm512_sra_epi64(_mm512_mul_epi32(own, factor), row_shift);
                odd_factor = _mm512_sra_epi64(_mm512_mul_epi32(_mm512_srli_epi64(own, 32), factor), row_shift);
            }
            const __m512i odd_product = _mm512_mul_epi32(_mm512_srli_epi64(sums, 32), odd_factor);
            even = _mm512_add_epi64(_mm512_mul_epi32(sums, even_factor), _mm512_loadu_si512(bias + f));
            odd = _mm512_add_epi64(odd_product, _mm512_loadu_si512(bias + f + 8));
        }

        const int64_t* bias;
        const int32_t* multiplier;
        bool is_narrow;
        __m128i shift, row_shift;
        __m512i factor, lowest, highest;
    };

    // Makes codes even that are ties, and odd before the zero point is added. (Ties are rare.)
    struct TiesToEven {
        TiesToEven(const Rescaling& rescaling) {
            const Rescale& source = *rescaling.source;
            constexpr int kTop = 64 - Rescaling::kCodeBits;
            fraction = _mm512_set1_epi64((int64_t{1} << (source.per_column ? source.shift : kTop)) - 1);
            one = _mm512_set1_epi64(int64_t{1} << (source.per_column ? Rescaling::kCodeBits : kTop));
            zero_point = rescaling.odd_zero ? one : _mm512_setzero_si512();
        }

        MIXQ_INLINE inline __mmask8 of(__m512i products) const { return _mm512_testn_epi64_mask(products, fraction); }

        MIXQ_INLINE inline __m512i settle(__m512i codes, __mmask8 ties) const {
            const __m512i odd = _mm512_and_si512(_mm512_add_epi64(codes, zero_point), one);
            return _mm512_mask_sub_epi64(codes, ties, codes, odd);
        }

        __m512i fraction, one, zero_point;
    };

    struct RoundHalfUp {
        MIXQ_INLINE inline __mmask8 of(__m512i) const { return 0; }
        MIXQ_INLINE inline __m512i settle(__m512i codes, __mmask8) const { return codes; }
    };

    // The 32 upper bits of each even lane, and of each odd lane, in order.
    MIXQ_INLINE static inline __m512i upper_halves(__m512i even, __m512i odd) {
        return _mm512_mask_shuffle_epi32(odd, 0x5555, even, static_cast<_MM_PERM_ENUM>(0xF5));
    }

    // Sixteen sums to sixteen codes, each before a fraction of 16 bits, which is 0 for a tie.
    template <bool kPerColumn, class Ties>
    MIXQ_INLINE static inline __m512i sixteen_codes(__m512i sums, int64_t f, const RowRescale<kPerColumn>& rescale,
                                                    const Ties& ties) {
        __m512i even, odd;
        if constexpr (kPerColumn) {
            rescale.multiply(sums, f, even, odd);
            even = ties.settle(_mm512_sra_epi64(even, rescale.shift), ties.of(even));
            odd = ties.settle(_mm512_sra_epi64(odd, rescale.shift), ties.of(odd));
            even = _mm512_min_epi64(_mm512_max_epi64(even, rescale.lowest), rescale.highest);
            odd = _mm512_min_epi64(_mm512_max_epi64(odd, rescale.lowest), rescale.highest);
            return _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
        } else {
            const __m512i clamped = _mm512_max_epi32(_mm512_min_epi32(sums, rescale.highest), rescale.lowest);
            rescale.multiply(_mm512_sll_epi32(clamped, rescale.shift), f, even, odd);
            return upper_halves(ties.settle(even, ties.of(even)), ties.settle(odd, ties.of(odd)));
        }
    }

    template <int kVectors>
    MIXQ_INLINE static inline __m512i load(const int32_t* sums, int vector, __mmask16 valid) {
        if (vector + 1 < kVectors) return _mm512_loadu_si512(sums + 16 * vector);
        return _mm512_maskz_loadu_epi32(valid, sums + 16 * vector);
    }

    // kVectors times sixteen sums from column f on to bytes of codes, in order; `valid` are those of the last sixteen.
    template <int kVectors, bool kPerColumn>
    MIXQ_INLINE static inline __m512i codes_of(const int32_t* sums, int64_t f, __mmask16 valid,
                                               const RowRescale<kPerColumn>& rescale, const Rescaling& rescaling,
                                               int64_t row) {
        __m512i codes[4], least = _mm512_set1_epi32(-1);
        unroll<kVectors>([&](auto v) MIXQ_INLINE {
            const __m512i sixteen = load<kVectors>(sums + f, v, valid);
            codes[v] = sixteen_codes(sixteen, f + 16 * v, rescale, RoundHalfUp{});
            least = _mm512_min_epu16(least, codes[v]);
        });
        unroll<4 - kVectors>([&](auto v) MIXQ_INLINE { codes[kVectors + v] = _mm512_setzero_si512(); });
        if (_mm512_testn_epi32_mask(least, _mm512_set1_epi32(0xFFFF)) != 0) {
            settle_ties<kVectors, kPerColumn>(sums, f, valid, rescaling, row, codes);
        }
        return clamp(codes, rescaling);
    }

    template <int kVectors, bool kPerColumn>
    __attribute__((noinline)) static void settle_ties(const int32_t* sums, int64_t f, __mmask16 valid,
                                                      const Rescaling& rescaling, int64_t row, __m512i* codes) {
        const RowRescale<kPerColumn> rescale(rescaling, row);
        const TiesToEven ties(rescaling);
        unroll<kVectors>([&](auto v) MIXQ_INLINE {
            codes[v] = sixteen_codes(load<kVectors>(sums + f, v, valid), f + 16 * v, rescale, ties);
        });
    }

    // The upper words of four vectors as bytes in order, clamped to the integers of the result.
    MIXQ_INLINE static inline __m512i clamp(const __m512i (&codes)[4], const Rescaling& rescaling) {
        const __m512i upper =
            _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25, 23, 21, 19, 17,
                             15, 13, 11, 9, 7, 5, 3, 1);
        const __m512i low = _mm512_permutex2var_epi16(codes[0], upper, codes[1]);
        const __m512i high = _mm512_permutex2var_epi16(codes[2], upper, codes[3]);
        const __m512i bytes = _mm512_packus_epi16(low, high);
        const __m512i ordered = _mm512_permutexvar_epi64(_mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0), bytes);
        return _mm512_add_epi8(_mm512_min_epu8(ordered, rescaling.last_code), rescaling.first_integer);
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

    // Up to 64 codes, zeros past the last, to their bytes.
    MIXQ_INLINE static inline void store_packed(__m512i bytes, int64_t count, int bits, uint8_t* target) {
        if (bits == 2) {
            const __m512i pairs = _mm512_maddubs_epi16(bytes, _mm512_set1_epi16(0x0401));
            const __m512i quadruples = _mm512_madd_epi16(pairs, _mm512_set1_epi32(0x00100001));
            bytes = _mm512_castsi128_si512(_mm512_cvtepi32_epi8(quadruples));
        } else if (bits == 4) {
            const __m512i pairs = _mm512_maddubs_epi16(bytes, _mm512_set1_epi16(0x1001));
            bytes = _mm512_castsi256_si512(_mm512_cvtepi16_epi8(pairs));
        }
        store_first_bytes(target, bytes, (count * bits + 7) / 8);
    }
};

}  // namespace
}  // namespace mixq
