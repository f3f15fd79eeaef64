// Sums to codes, sixteen at a time.
#pragma once

#include "avx512_vectors.hpp"
#include "scalar.hpp"

namespace mixq {
namespace {

struct Avx512Codes {
    // A requantization made ready for sixteen columns at a time, those of even number apart from those of odd number:
    // two 32-bit factors to a 64-bit lane. A product plus its column's bias is a code with a fraction behind it. Half a
    // code and the zero point are part of the bias, so rounding down rounds half up; ties are then made even. At one
    // bit the bias is taken off the threshold between the two codes: the sign of the sum decides.
    struct Rescaling {
        // Of codes with what is beyond them; of a product before the point, and of a bias.
        static constexpr int kCodeBits = 16, kBiasBits = 12, kProductBits = 14;

        Rescaling(const Rescale* rescale, int64_t columns)
            : Rescaling(rescale, columns, columns, [](int64_t place) { return place; }) {}

        // For sums of which the one at place f belongs to column column_of(f).
        template <class Order>
        Rescaling(const Rescale* rescale, int64_t columns, int64_t places, const Order& column_of)
            : source(rescale), bias(rescale == nullptr ? 0 : padded(places)), multiplier(bias.count) {
            if (rescale == nullptr) return;
            const bool one_bit = rescale->storage_bits == 1;
            const int64_t unit = int64_t{1} << rescale->shift;
            const int64_t first = rescale->zero_point - rescale->minimum;
            const int64_t constant = one_bit ? -threshold_of_one(*rescale) : unit / 2 + first * unit;
            const int place_of_codes = one_bit || rescale->per_column ? 0 : 64 - kCodeBits - rescale->shift;
            is_narrow = rescale->shift >= kCodeBits || one_bit || !rescale->per_column;
            for (int64_t f = 0; f < bias.count; ++f) {
                const int64_t place = f / 16 * 16 + f % 2 * 8 + f % 16 / 2, column = column_of(f);
                const int64_t given = rescale->bias == nullptr || column >= columns ? 0 : rescale->bias[column];
                is_narrow = is_narrow && given <= unit << kBiasBits && given >= -(unit << kBiasBits);
                bias.get()[place] = (constant + given) << place_of_codes;
                const bool own = rescale->per_column && column < columns;
                multiplier.get()[f] = static_cast<int32_t>(rescale->multiplier[own ? column : 0]);
            }
            odd_zero = (first & 1) != 0;
            last_code = _mm512_set1_epi8(static_cast<char>(rescale->maximum - rescale->minimum));
            first_integer = _mm512_set1_epi8(static_cast<char>(rescale->storage_bits == 8 ? rescale->minimum : 0));
        }

        static int64_t padded(int64_t places) { return (places + 15) / 16 * 16; }

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

    struct Four {
        __m512i vector[4];
    };

    struct Places {
        int64_t first[4];
    };

    // Up to four vectors of sums, of which each begins at a place of its own, to codes.
    template <bool kPerColumn>
    __attribute__((noinline)) static Four with_even_ties(const Four& sums, int count, const Places& places,
                                                         const Rescaling& rescaling, int64_t row) {
        const RowRescale<kPerColumn> rescale(rescaling, row);
        const TiesToEven ties(rescaling);
        Four codes{};
        for (int v = 0; v < count; ++v) {
            codes.vector[v] = sixteen_codes(sums.vector[v], places.first[v], rescale, ties);
        }
        return codes;
    }

    // kVectors times sixteen sums to codes, each before a fraction; vector v begins at place_of(v).
    template <int kVectors, bool kPerColumn, class PlaceOf>
    MIXQ_INLINE static inline void round_to_codes(const __m512i (&sums)[4], const PlaceOf& place_of,
                                                  const RowRescale<kPerColumn>& rescale, const Rescaling& rescaling,
                                                  int64_t row, __m512i (&codes)[4]) {
        __m512i least = _mm512_set1_epi32(-1);
        unroll<kVectors>([&](auto v) MIXQ_INLINE {
            codes[v] = sixteen_codes(sums[v], place_of(v), rescale, RoundHalfUp{});
            least = _mm512_min_epu16(least, codes[v]);
        });
        unroll<4 - kVectors>([&](auto v) MIXQ_INLINE { codes[kVectors + v] = _mm512_setzero_si512(); });
        if (_mm512_testn_epi32_mask(least, _mm512_set1_epi32(0xFFFF)) != 0) {
            // Copies: arrays live in registers only if no function takes their address.
            Four given;
            Places places;
            unroll<kVectors>([&](auto v) MIXQ_INLINE { given.vector[v] = sums[v], places.first[v] = place_of(v); });
            const Four settled = with_even_ties<kPerColumn>(given, kVectors, places, rescaling, row);
            unroll<kVectors>([&](auto v) MIXQ_INLINE { codes[v] = settled.vector[v]; });
        }
    }

    // The upper words of four vectors as bytes in order, clamped to the integers of the result.
    MIXQ_INLINE static inline __m512i bytes_of(const __m512i (&codes)[4], const Rescaling& rescaling) {
        const __m512i upper =
            _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25, 23, 21, 19,
                             17, 15, 13, 11, 9, 7, 5, 3, 1);
        const __m512i low = _mm512_permutex2var_epi16(codes[0], upper, codes[1]);
        const __m512i high = _mm512_permutex2var_epi16(codes[2], upper, codes[3]);
        const __m512i bytes = _mm512_packus_epi16(low, high);
        return clamp(_mm512_permutexvar_epi64(_mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0), bytes), rescaling);
    }

    // The same of vectors that each have a quarter of every 128 bits of the result.
    MIXQ_INLINE static inline __m512i bytes_of_lanes(const __m512i (&codes)[4], const Rescaling& rescaling) {
        const __m512i upper =
            _mm512_set_epi16(63, 61, 59, 57, 31, 29, 27, 25, 55, 53, 51, 49, 23, 21, 19, 17, 47, 45, 43, 41, 15, 13, 11,
                             9, 39, 37, 35, 33, 7, 5, 3, 1);
        const __m512i low = _mm512_permutex2var_epi16(codes[0], upper, codes[1]);
        const __m512i high = _mm512_permutex2var_epi16(codes[2], upper, codes[3]);
        return clamp(_mm512_packus_epi16(low, high), rescaling);
    }

    MIXQ_INLINE static inline __m512i clamp(__m512i codes, const Rescaling& rescaling) {
        return _mm512_add_epi8(_mm512_min_epu8(codes, rescaling.last_code), rescaling.first_integer);
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
