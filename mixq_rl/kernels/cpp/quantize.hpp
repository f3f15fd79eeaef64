// Features to packed integers in one pass over memory: q = clamp(round((x / magnitude) / scale) + zero_point).
//
// The integers are those of divisions in float64, half rounded to even. An estimate by reciprocals in float32 finds
// nearly all of them. Where it comes so close to the middle between two integers that it may be on the wrong side, the
// divisions decide.
#pragma once

#include <cmath>

#include "rows.hpp"

namespace mixq {

// A matrix of float32 or float64; the entries of a row are adjacent.
struct Features {
    const void* data;
    int64_t rows;
    int64_t columns;
    int64_t stride;  // entries from a row to the next
    bool is_double;
};

struct Quantization {
    const double* scale;
    bool per_column;
    bool by_row;        // rows are divided by their magnitudes, which are written as mantissas
    double row_factor;  // from a magnitude to its mantissa
    int zero_point;
    int minimum;
    int maximum;
    bool is_sign;  // results are -1 and +1
    int storage_bits;
};

// What a pass has met: bits of its result. The integers mean nothing then.
constexpr int kNotFinite = 1, kBeyond = 2, kDisorder = 4;

// Returns what it has met. `mantissa` is null unless rows have scales.
using Quantize = int (*)(const Features& x, const Quantization& how, uint8_t* out, int32_t* mantissa, int threads);

extern const Quantize portable_quantize;
#if defined(MIXQ_X86)
extern const Quantize avx2_quantize;
extern const Quantize avx512_quantize;
#endif

namespace {

constexpr int64_t kStrip = 64;                // columns that are quantized at a time
constexpr int64_t kGroupEntries = 1 << 12;    // whose rows are quantized one after another: they stay in a near cache
constexpr int64_t kGroupRows = 32;
constexpr int kGroupsAtATime = 4;             // of a thread
constexpr float kMagic = 12582912;            // 1.5 * 2^23: what is added to it is rounded to an integer
constexpr double kWideMagic = 6755399441055744;  // 1.5 * 2^52
// Estimates round five times: an entry, two reciprocals and two products, each by 2^-24 at most.
constexpr float kEstimateError = 1.0f / (1 << 21);
// Reciprocals within these bounds, and their products, are normal in float32.
constexpr double kLeastFactor = 1.0 / (int64_t{1} << 60), kLargestFactor = static_cast<double>(int64_t{1} << 60);
// Negative entries below: their quotient may become -0, which counts as positive.
constexpr double kTiny = 0x1p-900;

template <class T>
struct Bits;

template <>
struct Bits<float> {
    using Integer = int32_t;
    static constexpr int32_t kMagnitude = 0x7FFFFFFF, kInfinite = 0x7F800000;
};

template <>
struct Bits<double> {
    using Integer = int64_t;
    static constexpr int64_t kMagnitude = 0x7FFFFFFFFFFFFFFF, kInfinite = 0x7FF0000000000000;
};

template <class To, class From>
inline To cast_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "");
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

inline bool is_normal_factor(double factor) { return factor >= kLeastFactor && factor <= kLargestFactor; }

// A quantization made ready: its scales copied, with reciprocals, up to a whole strip.
struct Recipe {
    Recipe(const Quantization& quantization, int64_t columns)
        : how(quantization),
          scale((columns + kStrip - 1) / kStrip * kStrip),
          reciprocal(scale.count),
          low(static_cast<float>(how.minimum - how.zero_point)),
          high(static_cast<float>(how.maximum - how.zero_point)),
          first_code(how.is_sign || how.storage_bits == 8 ? 0 : how.minimum),
          limit(0.5f - (std::max(std::fabs(low), std::fabs(high)) + 1) * kEstimateError),
          single(how.per_column ? 1.0 : how.scale[0]) {
        for (int64_t f = 0; how.per_column && f < scale.count; ++f) {
            const double own = f < columns ? how.scale[f] : 1.0;
            scale.get()[f] = own;
            reciprocal.get()[f] = static_cast<float>(1.0 / own);
            estimable = estimable && is_normal_factor(1.0 / own);
        }
        // The code of zero, in all places of a byte.
        const int zero = how.is_sign ? 1 : std::clamp(how.zero_point, how.minimum, how.maximum) - first_code;
        for (int shift = 0; shift < 8; shift += how.storage_bits) zeros |= static_cast<uint8_t>(zero << shift);
    }

    const Quantization how;
    Scratch<double> scale;
    Scratch<float> reciprocal;
    const float low, high;  // of steps, before the zero point is added
    const int first_code;   // the integer that the code 0 stands for
    const float limit;      // distance from an integer up to which an estimate decides
    const double single;    // the scale, unless columns have their own
    bool estimable = true;
    uint8_t zeros = 0;
};

// How a row is quantized.
struct RowScale {
    RowScale() = default;
    RowScale(const Recipe& recipe, double row_magnitude) : magnitude(row_magnitude > 0 ? row_magnitude : 1.0) {
        const double reciprocal = 1.0 / magnitude, product = reciprocal / recipe.single;
        estimable = recipe.estimable && is_normal_factor(reciprocal) && is_normal_factor(product);
        factor = estimable ? static_cast<float>(product) : 0.0f;
        limit = estimable ? recipe.limit : -1.0f;
    }

    double magnitude;
    float factor, limit;
    bool estimable;
};

// Writes the mantissa of a row's magnitude; returns what is wrong with it.
inline int write_mantissa(double magnitude, double factor, int32_t* mantissa) {
    const double scaled = magnitude * factor;
    const bool held = scaled < 2147483647.5;  // which would be rounded to 2^31
    *mantissa = held ? static_cast<int32_t>(scaled + kWideMagic - kWideMagic) : 0;
    return held ? 0 : kBeyond;
}

// One entry by divisions, to its code.
inline int exact_code(double x, double magnitude, double scale, const Recipe& recipe) {
    const double steps = x / magnitude / scale;
    if (recipe.how.is_sign) return steps >= 0 ? 1 : 0;
    const double raised = steps > recipe.low ? steps : recipe.low;  // NaN too
    const double clamped = raised < recipe.high ? raised : recipe.high;
    return static_cast<int>(clamped + kWideMagic - kWideMagic) + recipe.how.zero_point - recipe.first_code;
}

template <class T>
void prefetch(const T* entries, int64_t count) {
#if defined(__GNUC__)
    constexpr int64_t kLine = 64 / sizeof(T);
    for (int64_t f = 0; f < count; f += kLine) __builtin_prefetch(entries + f);
#else
    (void)entries, (void)count;
#endif
}

// Packs the codes of a strip, one a byte and zeros past the last column.
template <int kBits>
void pack_strip(const uint8_t* codes, int64_t count, uint8_t* out) {
    if constexpr (kBits == 8) {
        std::memcpy(out, codes, static_cast<size_t>(count));
        return;
    }
    uint8_t packed[kStrip];
    for (int64_t i = 0; i < kStrip / 8; ++i) {
        uint64_t eight;
        std::memcpy(&eight, codes + 8 * i, 8);
        if constexpr (kBits == 1) {
            packed[i] = static_cast<uint8_t>((eight * 0x0102040810204080) >> 56);
        } else if constexpr (kBits == 2) {
            eight |= eight >> 6 | eight >> 12 | eight >> 18;
            packed[2 * i] = static_cast<uint8_t>(eight);
            packed[2 * i + 1] = static_cast<uint8_t>(eight >> 32);
        } else {
            eight |= eight >> 4;
            for (int s = 0; s < 4; ++s) packed[4 * i + s] = static_cast<uint8_t>(eight >> (16 * s));
        }
    }
    std::memcpy(out, packed, static_cast<size_t>((count * kBits + 7) / 8));
}

// Rows in loops that compilers make vectors of.
struct QuantizeByLoops {
    // NaN counts as more than infinity.
    template <class T>
    static double magnitude(const T* x, int64_t columns) {
        typename Bits<T>::Integer largest = 0;
        for (int64_t f = 0; f < columns; ++f) {
            largest = std::max(largest, cast_bits<typename Bits<T>::Integer>(x[f]) & Bits<T>::kMagnitude);
        }
        return cast_bits<T>(largest);
    }

    // Returns whether a division is needed for an entry.
    template <class T, bool kSign, bool kColumn>
    static bool estimate(const T* x, const float* reciprocal, const Recipe& recipe, const RowScale& row,
                         uint8_t* codes) {
        int doubtful = row.estimable ? 0 : 1;
        if constexpr (kSign) {
            for (int64_t i = 0; i < kStrip; ++i) {
                if constexpr (sizeof(T) == 8) doubtful |= x[i] < 0 && x[i] > -kTiny ? 1 : 0;
                codes[i] = x[i] < 0 ? 0 : 1;
            }
            return doubtful != 0;
        }
        const float low = recipe.low, high = recipe.high, factor = row.factor, limit = row.limit;
        const int32_t bias = cast_bits<int32_t>(kMagic) - recipe.how.zero_point + recipe.first_code;
        for (int64_t i = 0; i < kStrip; ++i) {
            float steps = static_cast<float>(x[i]) * factor;
            if constexpr (kColumn) steps *= reciprocal[i];
            steps = steps > low ? steps : low;
            steps = steps < high ? steps : high;
            const float shifted = steps + kMagic;
            doubtful |= std::fabs(steps - (shifted - kMagic)) <= limit ? 0 : 1;
            codes[i] = static_cast<uint8_t>(cast_bits<int32_t>(shifted) - bias);
        }
        return doubtful != 0;
    }

    // How the rows of a matrix are quantized, and whether what was read is finite.
    template <class T, int kBits, bool kSign, bool kColumn>
    struct Pass {
        using Integer = typename Bits<T>::Integer;

        explicit Pass(const Recipe& source) : recipe(source) {}

        void row(const T* x, const RowScale& row, int64_t columns, uint8_t* out) {
            for (int64_t f = 0; f < columns; f += kStrip) {
                const int64_t count = std::min(kStrip, columns - f);
                const T* entries = x + f;
                T last[kStrip];
                uint8_t codes[kStrip];
                if (count < kStrip) {
                    std::copy_n(entries, count, last);
                    std::fill(last + count, last + kStrip, T{0});
                    entries = last;
                }
                Integer any = 0, infinite = 0;
                for (int64_t i = 0; i < kStrip; ++i) {
                    const Integer bits = cast_bits<Integer>(entries[i]);
                    any |= bits;
                    infinite |= (bits & Bits<T>::kInfinite) == Bits<T>::kInfinite ? 1 : 0;
                }
                finite = finite && infinite == 0;
                uint8_t* target = out + f * kBits / 8;
                if (any == 0 && count == kStrip) {
                    std::memset(target, recipe.zeros, kStrip * kBits / 8);
                    continue;
                }
                if (estimate<T, kSign, kColumn>(entries, recipe.reciprocal.get() + f, recipe, row, codes)) {
                    const double* scale = recipe.scale.get() + f;
                    for (int64_t i = 0; i < count; ++i) {
                        const double own = kColumn ? scale[i] : recipe.single;
                        codes[i] = static_cast<uint8_t>(exact_code(entries[i], row.magnitude, own, recipe));
                    }
                }
                std::fill(codes + count, codes + kStrip, uint8_t{0});
                pack_strip<kBits>(codes, count, target);
            }
        }

        bool is_finite() const { return finite; }

        const Recipe& recipe;
        bool finite = true;
    };
};

template <class Isa, class T, int kBits, bool kSign, bool kColumn>
int quantize_rows(const Features& x, const Quantization& how, uint8_t* out, int32_t* mantissa, int threads) {
    const Recipe recipe(how, how.per_column ? x.columns : 0);
    const RowScale common(recipe, 1.0);
    const int64_t row_bytes = (x.columns * kBits + 7) / 8;
    const int64_t group = std::clamp<int64_t>(kGroupEntries / std::max<int64_t>(1, x.columns), 1, kGroupRows);
    const int64_t groups = (x.rows + group - 1) / group;
    const bool in_memory = x.rows * x.columns * static_cast<int64_t>(sizeof(T)) > kStreamBytes;  // not in a cache
    if (x.rows * x.columns < kSerialWork) threads = 1;
    int met = 0;
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : met)
    {
        typename Isa::template Pass<T, kBits, kSign, kColumn> pass(recipe);
#pragma omp for schedule(dynamic, kGroupsAtATime) nowait
        for (int64_t first = 0; first < groups; ++first) {
            const int64_t begin = first * group, count = std::min(group, x.rows - begin);
            const T* rows = static_cast<const T*>(x.data) + begin * x.stride;
            if (!how.by_row) {
                for (int64_t i = 0; i < count; ++i) {
                    pass.row(rows + i * x.stride, common, x.columns, out + (begin + i) * row_bytes);
                }
                continue;
            }
            // Of several rows at first: the divisions for one need not wait for those for the next.
            RowScale scales[kGroupRows];
            for (int64_t i = 0; i < count; ++i) {
                const double magnitude = Isa::magnitude(rows + i * x.stride, x.columns);
                met |= write_mantissa(magnitude, how.row_factor, mantissa + begin + i);
                scales[i] = RowScale(recipe, magnitude);
            }
            for (int64_t i = 0; i < count; ++i) {
                // Fetched while this row keeps the processor busy.
                if (in_memory && begin + group + i < x.rows) prefetch(rows + (group + i) * x.stride, x.columns);
                pass.row(rows + i * x.stride, scales[i], x.columns, out + (begin + i) * row_bytes);
            }
        }
        met |= pass.is_finite() ? 0 : kNotFinite;
    }
    return met;
}

template <class Isa, class T, bool kColumn>
int quantize_as(const Features& x, const Quantization& how, uint8_t* out, int32_t* mantissa, int threads) {
    if (how.is_sign) return quantize_rows<Isa, T, 1, true, kColumn>(x, how, out, mantissa, threads);
    int met = 0;
    with_bits(how.storage_bits, [&](auto bits) {
        met = quantize_rows<Isa, T, decltype(bits)::value, false, kColumn>(x, how, out, mantissa, threads);
    });
    return met;
}

template <class Isa>
int quantize(const Features& x, const Quantization& how, uint8_t* out, int32_t* mantissa, int threads) {
    if (x.is_double) {
        return (how.per_column ? quantize_as<Isa, double, true> : quantize_as<Isa, double, false>)(x, how, out,
                                                                                                mantissa, threads);
    }
    return (how.per_column ? quantize_as<Isa, float, true> : quantize_as<Isa, float, false>)(x, how, out, mantissa,
                                                                                            threads);
}

}  // namespace
}  // namespace mixq
