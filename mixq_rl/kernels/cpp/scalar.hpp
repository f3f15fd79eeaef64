// Requantizing a row, one entry at a time.
#pragma once

#include <algorithm>

#include "aggregate.hpp"

namespace mixq {
namespace {

inline int64_t requantize_one(int32_t sum, int64_t f, const Rescale& rescale, int64_t row) {
    int64_t multiplier = rescale.multiplier[rescale.per_column ? f : 0];
    if (rescale.row != nullptr) multiplier = (static_cast<int64_t>(rescale.row[row]) * multiplier) >> rescale.row_shift;
    const int64_t value = sum * multiplier + (rescale.bias == nullptr ? 0 : rescale.bias[f]);
    if (rescale.is_sign) return value >= 0 ? 1 : 0;
    const int64_t odd = (value >> rescale.shift) & 1;
    const int64_t half = (int64_t{1} << (rescale.shift - 1)) - 1;
    const int64_t rounded = (value + half + odd) >> rescale.shift;
    const int64_t clamped = std::clamp(rounded + rescale.zero_point, rescale.minimum, rescale.maximum);
    return rescale.storage_bits == 8 ? clamped : clamped - rescale.minimum;
}

inline void requantize_scalar(const int32_t* sums, int64_t n, const Rescale& rescale, int64_t row, uint8_t* codes) {
    const int bits = rescale.storage_bits, per_byte = 8 / bits;
    for (int64_t f = 0; f < n; f += per_byte) {
        uint32_t byte = 0;
        for (int s = 0; s < per_byte && f + s < n; ++s) {
            const int64_t code = requantize_one(sums[f + s], f + s, rescale, row);
            byte |= (static_cast<uint32_t>(code) & 0xFF) << (s * bits);
        }
        codes[f / per_byte] = static_cast<uint8_t>(byte);
    }
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
