// Rows of features to codes, sixteen entries at a time.
#pragma once

#include "avx512_requantize.hpp"
#include "quantize.hpp"

namespace mixq {
namespace {

// Sixteen entries as they are in memory.
template <class T>
struct Sixteen;

template <>
struct Sixteen<float> {
    MIXQ_INLINE static inline Sixteen load(const float* x) { return {_mm512_loadu_ps(x)}; }
    MIXQ_INLINE static inline Sixteen load(const float* x, __mmask16 valid) {
        return {_mm512_maskz_loadu_ps(valid, x)};
    }
    MIXQ_INLINE inline __m512i bits() const { return _mm512_castps_si512(entries); }
    MIXQ_INLINE inline __m512 narrow() const { return entries; }
    MIXQ_INLINE inline __m512d wide(int half) const {
        return _mm512_cvtps_pd(half == 0 ? _mm512_castps512_ps256(entries) : _mm512_extractf32x8_ps(entries, 1));
    }
    MIXQ_INLINE inline __mmask16 negative() const {
        return _mm512_cmp_ps_mask(entries, _mm512_setzero_ps(), _CMP_LT_OQ);
    }
    MIXQ_INLINE inline __mmask16 tiny() const { return 0; }  // not in float64

    __m512 entries;
};

template <>
struct Sixteen<double> {
    MIXQ_INLINE static inline Sixteen load(const double* x) { return {_mm512_loadu_pd(x), _mm512_loadu_pd(x + 8)}; }
    MIXQ_INLINE static inline Sixteen load(const double* x, __mmask16 valid) {
        const __mmask8 low = static_cast<__mmask8>(valid), high = static_cast<__mmask8>(valid >> 8);
        return {_mm512_maskz_loadu_pd(low, x), _mm512_maskz_loadu_pd(high, x + 8)};
    }
    MIXQ_INLINE inline __m512i bits() const { return _mm512_castpd_si512(_mm512_or_pd(low, high)); }
    MIXQ_INLINE inline __m512 narrow() const {
        return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high), 1);
    }
    MIXQ_INLINE inline __m512d wide(int half) const { return half == 0 ? low : high; }
    MIXQ_INLINE static inline __mmask16 join(__mmask8 low, __mmask8 high) {
        return static_cast<__mmask16>(low | high << 8);
    }
    MIXQ_INLINE inline __mmask16 negative() const {
        const __m512d zero = _mm512_setzero_pd();
        return join(_mm512_cmp_pd_mask(low, zero, _CMP_LT_OQ), _mm512_cmp_pd_mask(high, zero, _CMP_LT_OQ));
    }
    MIXQ_INLINE inline __mmask16 tiny() const {
        const __m512d least = _mm512_set1_pd(-kTiny);
        return negative() & join(_mm512_cmp_pd_mask(low, least, _CMP_GT_OQ), _mm512_cmp_pd_mask(high, least, _CMP_GT_OQ));
    }

    __m512d low, high;
};

struct Avx512Quantize {
    // Of the entries, the sign is left off; NaN does not count.
    static __m512 larger(__m512 a, __m512 b) { return _mm512_range_ps(a, b, 0b1011); }
    static __m512d larger(__m512d a, __m512d b) { return _mm512_range_pd(a, b, 0b1011); }

    static double magnitude(const float* x, int64_t columns) {
        __m512 most = _mm512_setzero_ps();
        int64_t f = 0;
        for (; f + 16 <= columns; f += 16) most = larger(most, _mm512_loadu_ps(x + f));
        if (f < columns) most = larger(most, _mm512_maskz_loadu_ps(valid_of(columns - f), x + f));
        return _mm512_reduce_max_ps(most);
    }

    static double magnitude(const double* x, int64_t columns) {
        __m512d most = _mm512_setzero_pd();
        int64_t f = 0;
        for (; f + 8 <= columns; f += 8) most = larger(most, _mm512_loadu_pd(x + f));
        if (f < columns) {
            most = larger(most, _mm512_maskz_loadu_pd(static_cast<__mmask8>(valid_of(columns - f)), x + f));
        }
        return _mm512_reduce_max_pd(most);
    }

    // Sixteen entries to integers, the zero point not added; of a sign, to codes.
    template <class T, bool kSign>
    static __m512i divide(const Sixteen<T>& entries, const double* scale, const Recipe& recipe, const RowScale& row) {
        const __m512d magnitude = _mm512_set1_pd(row.magnitude);
        __m256i halves[2];
        for (int half = 0; half < 2; ++half) {
            const __m512d own = scale == nullptr ? _mm512_set1_pd(recipe.single) : _mm512_loadu_pd(scale + 8 * half);
            __m512d steps = _mm512_div_pd(_mm512_div_pd(entries.wide(half), magnitude), own);
            if constexpr (kSign) {
                const __mmask8 positive = _mm512_cmp_pd_mask(steps, _mm512_setzero_pd(), _CMP_GE_OQ);
                halves[half] = _mm256_maskz_set1_epi32(positive, 1);
            } else {
                steps = _mm512_min_pd(_mm512_max_pd(steps, _mm512_set1_pd(recipe.low)), _mm512_set1_pd(recipe.high));
                halves[half] = _mm512_cvt_roundpd_epi32(steps, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
            }
        }
        return _mm512_inserti64x4(_mm512_castsi256_si512(halves[0]), halves[1], 1);
    }

    // How the rows of a matrix are quantized, and whether what was read is finite.
    template <class T, int kBits, bool kSign, bool kColumn>
    struct Pass {
        explicit Pass(const Recipe& source)
            : recipe(source),
              low(_mm512_set1_ps(source.low)),
              high(_mm512_set1_ps(source.high)),
              shift(_mm512_set1_epi8(static_cast<char>(source.how.zero_point - source.first_code))) {}

        // Sixteen estimates, rounded to the low bits of `rounded`; `distance` is how far they were from integers.
        MIXQ_INLINE inline void estimate(const Sixteen<T>& entries, int64_t f, __m512 factor, __m512i& rounded,
                                         __m512& distance) const {
            __m512 steps = _mm512_mul_ps(entries.narrow(), factor);
            if constexpr (kColumn) steps = _mm512_mul_ps(steps, _mm512_loadu_ps(recipe.reciprocal.get() + f));
            steps = _mm512_min_ps(_mm512_max_ps(steps, low), high);
            const __m512 magic = _mm512_set1_ps(kMagic), shifted = _mm512_add_ps(steps, magic);
            distance = _mm512_sub_ps(steps, _mm512_sub_ps(shifted, magic));
            rounded = _mm512_castps_si512(shifted);
        }

        // kVectors times sixteen entries, to codes of a byte each in the order of the columns.
        template <int kVectors>
        MIXQ_INLINE inline __m512i codes(const Sixteen<T>* entries, int64_t f, const RowScale& row) const {
            const __m512 factor = _mm512_set1_ps(row.factor);
            __m512i rounded[4];
            __m512 distance[4], farthest = _mm512_setzero_ps();
            unroll<kVectors>([&](auto k) MIXQ_INLINE {
                estimate(entries[k], f + 16 * k, factor, rounded[k], distance[k]);
                farthest = larger(farthest, distance[k]);
            });
            const __m512 limit = _mm512_set1_ps(row.limit);
            if (__builtin_expect(_mm512_cmp_ps_mask(farthest, limit, _CMP_NLE_UQ) != 0, 0)) {
                unroll<kVectors>([&](auto k) MIXQ_INLINE {
                    if (_mm512_cmp_ps_mask(_mm512_abs_ps(distance[k]), limit, _CMP_NLE_UQ) != 0) {
                        rounded[k] = divide<T, kSign>(entries[k], scale_at(f + 16 * k), recipe, row);
                    }
                });
            }
            if constexpr (kVectors == 1) {
                const __m128i bytes = _mm512_cvtepi32_epi8(rounded[0]);
                return _mm512_castsi128_si512(_mm_add_epi8(bytes, _mm512_castsi512_si128(shift)));
            }
            const __m512i byte = _mm512_set1_epi16(0xFF), even = low_words(), order = pairs_in_order();
            const __m512i first = _mm512_and_si512(_mm512_permutex2var_epi16(rounded[0], even, rounded[1]), byte);
            const __m512i second = _mm512_and_si512(_mm512_permutex2var_epi16(rounded[2], even, rounded[3]), byte);
            return _mm512_add_epi8(_mm512_permutexvar_epi64(order, _mm512_packus_epi16(first, second)), shift);
        }

        // One bit for each entry, set for +1.
        MIXQ_INLINE inline __mmask16 signs(const Sixteen<T>& entries, int64_t f, const RowScale& row) const {
            const __mmask16 undecided = row.estimable ? entries.tiny() : __mmask16{0xFFFF};
            if (__builtin_expect(undecided == 0, 1)) return static_cast<__mmask16>(~entries.negative());
            const __m512i codes = divide<T, kSign>(entries, scale_at(f), recipe, row);
            return _mm512_test_epi32_mask(codes, codes);
        }

        MIXQ_INLINE inline const double* scale_at(int64_t f) const {
            return kColumn ? recipe.scale.get() + f : nullptr;
        }

        static __m512i low_words() {
            const __m512i step = _mm512_set1_epi32(0x00020002), first = _mm512_set1_epi32(0x00020000);
            const __m512i index = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
            const __m512i pairs = _mm512_or_si512(index, _mm512_slli_epi32(index, 16));  // i, i
            return _mm512_add_epi16(_mm512_mullo_epi16(_mm512_add_epi16(pairs, pairs), step), first);
        }

        static __m512i pairs_in_order() { return _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0); }

        MIXQ_INLINE static inline void store(__m512i codes, uint8_t* target) {
            if constexpr (kBits == 8) {
                _mm512_storeu_si512(target, codes);
            } else if constexpr (kBits == 4) {
                const __m512i pairs = _mm512_maddubs_epi16(codes, _mm512_set1_epi16(0x1001));
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), _mm512_cvtepi16_epi8(pairs));
            } else if constexpr (kBits == 2) {
                const __m512i pairs = _mm512_maddubs_epi16(codes, _mm512_set1_epi16(0x0401));
                const __m512i fours = _mm512_madd_epi16(pairs, _mm512_set1_epi32(0x00100001));
                _mm_storeu_si128(reinterpret_cast<__m128i*>(target), _mm512_cvtepi32_epi8(fours));
            } else {
                store(_mm512_test_epi8_mask(codes, codes), target);
            }
        }

        MIXQ_INLINE static inline void store(uint64_t bits, uint8_t* target) { std::memcpy(target, &bits, 8); }

        MIXQ_INLINE inline void check(const Sixteen<T>& entries) {
            if constexpr (sizeof(T) == 4) {
                products = _mm512_fmadd_ps(entries.entries, _mm512_setzero_ps(), products);
            } else {
                __m512d wide = _mm512_castps_pd(products);
                wide = _mm512_fmadd_pd(entries.low, _mm512_setzero_pd(), wide);
                products = _mm512_castpd_ps(_mm512_fmadd_pd(entries.high, _mm512_setzero_pd(), wide));
            }
        }

        void row(const T* x, const RowScale& row, int64_t columns, uint8_t* out) {
            int64_t f = 0;
            for (; f + kStrip <= columns; f += kStrip) {
                Sixteen<T> strip[4];
                unroll<4>([&](auto k) MIXQ_INLINE { strip[k] = Sixteen<T>::load(x + f + 16 * k); });
                const __m512i any = _mm512_or_si512(_mm512_or_si512(strip[0].bits(), strip[1].bits()),
                                                    _mm512_or_si512(strip[2].bits(), strip[3].bits()));
                uint8_t* target = out + f * kBits / 8;
                if (_mm512_test_epi32_mask(any, any) == 0) {
                    std::memset(target, recipe.zeros, kStrip * kBits / 8);
                    continue;
                }
                unroll<4>([&](auto k) MIXQ_INLINE { check(strip[k]); });
                if constexpr (kSign) {
                    uint64_t bits = 0;
                    unroll<4>([&](auto k) MIXQ_INLINE {
                        bits |= static_cast<uint64_t>(signs(strip[k], f + 16 * k, row)) << (16 * k);
                    });
                    store(bits, target);
                } else {
                    store(codes<4>(strip, f, row), target);
                }
            }
            for (; f < columns; f += 16) {
                const __mmask16 valid = valid_of(columns - f);
                const Sixteen<T> entries = Sixteen<T>::load(x + f, valid);
                check(entries);
                __m128i bytes;
                if constexpr (kSign) {
                    bytes = _mm_maskz_set1_epi8(signs(entries, f, row) & valid, 1);
                } else {
                    bytes = _mm_maskz_mov_epi8(valid, _mm512_castsi512_si128(codes<1>(&entries, f, row)));
                }
                const int64_t count = std::min<int64_t>(16, columns - f);
                if constexpr (kBits == 1) {
                    const int bits = _mm_test_epi8_mask(bytes, bytes);
                    std::memcpy(out + f / 8, &bits, static_cast<size_t>((count + 7) / 8));
                } else {
                    Avx512Requantize::store_packed(_mm512_zextsi128_si512(bytes), count, kBits, out + f * kBits / 8);
                }
            }
        }

        bool is_finite() const {
            if constexpr (sizeof(T) == 4) return _mm512_cmp_ps_mask(products, products, _CMP_UNORD_Q) == 0;
            const __m512d wide = _mm512_castps_pd(products);
            return _mm512_cmp_pd_mask(wide, wide, _CMP_UNORD_Q) == 0;
        }

        const Recipe& recipe;
        const __m512 low, high;
        const __m512i shift;  // from an integer without the zero point to its code
        __m512 products = _mm512_setzero_ps();  // with zero: NaN where an entry is not finite
    };
};

}  // namespace
}  // namespace mixq
