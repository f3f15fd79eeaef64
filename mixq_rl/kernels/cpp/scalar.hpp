// Requantizing a row, one entry at a time.
#pragma once

#include <algorithm>

#include "aggregate.hpp"

namespace mixq {
namespace {

// The least value whose code is 1, of codes 0 and 1.
inline int64_t threshold_of_one(const Rescale& rescale) {
    if (rescale.is_sign) return 0;
    const int64_t least = rescale.minimum + 1 - rescale.zero_point;
    return (2 * least - 1) * (int64_t{1} << (rescale.shift - 1)) + (least & 1);
}

inline int64_t multiplier_of(const Rescale& rescale, int64_t f, int64_t row) {
    const int64_t multiplier = rescale.multiplier[rescale.per_column ? f : 0];
    return rescale.row == nullptr ? multiplier : (rescale.row[row] * multiplier) >> rescale.row_shift;
}

// The code of value / 2^shift, half to even.
inline int64_t rounded(int64_t value, const Rescale& rescale) {
    const int64_t odd = (value >> rescale.shift) & 1;
    const int64_t half = (int64_t{1} << (rescale.shift - 1)) - 1;
    const int64_t integer = ((value + half + odd) >> rescale.shift) + rescale.zero_point;
    const int64_t clamped = std::clamp(integer, rescale.minimum, rescale.maximum);
    return rescale.storage_bits == 8 ? clamped : clamped - rescale.minimum;
}

// Block by block: of loops without branches compilers make vectors.
template <int kBits>
void requantize_scalar(const int32_t* sums, int64_t n, const Rescale& rescale, int64_t row, uint8_t* codes) {
    constexpr int kPerByte = 8 / kBits;
    constexpr int64_t kBlock = 64;
    const Rescale how = rescale;  // a copy, which no code is written to
    const int64_t threshold = kBits == 1 ? threshold_of_one(how) : 0;
    const int64_t common = how.per_column ? 0 : multiplier_of(how, 0, row);
    for (int64_t first = 0; first < n; first += kBlock) {
        const int64_t count = std::min(kBlock, n - first);
        uint8_t block[kBlock] = {};
        for (int64_t i = 0; i < count; ++i) {
            const int64_t f = first + i, multiplier = how.per_column ? multiplier_of(how, f, row) : common;
            const int64_t value = sums[f] * multiplier + (how.bias == nullptr ? 0 : how.bias[f]);
            block[i] = static_cast<uint8_t>(kBits == 1 ? value >= threshold : rounded(value, how));
        }
        for (int64_t i = 0; i < (count + kPerByte - 1) / kPerByte; ++i) {
            int byte = 0;
            for (int s = 0; s < kPerByte; ++s) byte |= block[i * kPerByte + s] << (s * kBits);
            codes[first / kPerByte + i] = static_cast<uint8_t>(byte);
        }
    }
}

inline void requantize_scalar(const int32_t* sums, int64_t n, const Rescale& rescale, int64_t row, uint8_t* codes) {
    with_bits(rescale.storage_bits,
              [&](auto bits) { requantize_scalar<decltype(bits)::value>(sums, n, rescale, row, codes); });
}

// What instruction sets share that sum one row at a time, by their own sum_neighbours, and requantize entry by entry.
template <class Isa>
struct RowByRow {
    struct Rescaling {
        Rescaling(const Rescale* rescale, int64_t) : source(rescale) {}
        const Rescale* source;
    };
    struct Fusion {
        Fusion(const Rescale*, const Matrix&) {}
        static constexpr bool possible = false;
    };
    static constexpr bool kStreams = false;

    struct Summation {
        void operator()(int64_t begin, int64_t end, int32_t* sums, int64_t) const {
            Isa::sum_neighbours(x, offset, edges, begin, end, sums);
        }
        bool requantize(int64_t, int64_t, const Fusion&, int64_t, uint8_t*) const { return false; }

        const Matrix& x;
        int32_t offset;
        const Edges& edges;
    };

    template <class Body>
    static void with_summation(const Matrix& x, int32_t offset, const Edges& edges, const Body& body) {
        body(Summation{x, offset, edges});
    }

    static void requantize(const int32_t* sums, int64_t n, const Rescaling& rescaling, int64_t row, uint8_t* codes) {
        requantize_scalar(sums, n, *rescaling.source, row, codes);
    }
};

}  // namespace
}  // namespace mixq
