// Values of different scales, brought to one scale and added up, put side by side or compared, row by row. The loops
// are plain: each instruction set's file compiles them for itself.
#pragma once

#include "rows.hpp"

namespace mixq {
namespace {

constexpr int64_t kJoinedRows = 64;  // handed out at a time

// The integers of a row.
template <int kBits>
void decode_integers(const Matrix& x, int64_t row, int32_t* integers) {
    const uint8_t* codes = x.data + row * x.row_bytes;
    if constexpr (kBits == 8) {
        for (int64_t f = 0; f < x.columns; ++f) {
            integers[f] = (x.is_signed ? static_cast<int8_t>(codes[f]) : codes[f]) + x.offset;
        }
    } else {
        constexpr int kPerByte = 8 / kBits;
        for (int64_t f = 0; f < x.columns; ++f) {
            const int code = codes[f / kPerByte] >> (f % kPerByte * kBits) & ((1 << kBits) - 1);
            integers[f] = x.step * code + x.offset;
        }
    }
}

// Adds a term's products to the sums.
inline void add_term(const Term& term, int64_t row, int32_t* integers, int64_t* sums) {
    const int64_t columns = term.x.columns;
    with_bits(term.x.bits, [&](auto bits) { decode_integers<decltype(bits)::value>(term.x, row, integers); });
    if (!term.per_column) {
        const int64_t multiplier = term.multiplier[0];
        for (int64_t f = 0; f < columns; ++f) sums[f] += integers[f] * multiplier;
        return;
    }
    for (int64_t f = 0; f < columns; ++f) sums[f] += integers[f] * term.multiplier[f];
}

// Rounds the sums half to even, and clamps them to the result's integers.
inline void round_part(const Part& part, const Join& join, const int64_t* sums, int64_t columns, int32_t* integers) {
    if (join.is_sign) {
        for (int64_t f = 0; f < columns; ++f) integers[f] = sums[f] >= 0 ? 1 : -1;
        return;
    }
    const int64_t half = (int64_t{1} << (part.shift - 1)) - 1;
    for (int64_t f = 0; f < columns; ++f) {
        const int64_t rounded = (sums[f] + half + ((sums[f] >> part.shift) & 1)) >> part.shift;
        integers[f] = static_cast<int32_t>(std::clamp(rounded + join.zero_point, join.minimum, join.maximum));
    }
}

inline void pack_integers(const int32_t* integers, int64_t columns, const Join& join, uint8_t* codes) {
    const int bits = join.storage_bits, per_byte = 8 / bits;
    if (bits == 8) {
        for (int64_t f = 0; f < columns; ++f) codes[f] = static_cast<uint8_t>(integers[f]);
        return;
    }
    for (int64_t f = 0; f < columns; f += per_byte) {
        uint32_t byte = 0;
        for (int64_t s = 0; s < std::min<int64_t>(per_byte, columns - f); ++s) {
            const int32_t code = join.is_sign ? integers[f + s] > 0 : integers[f + s] - static_cast<int32_t>(join.minimum);
            byte |= static_cast<uint32_t>(code) << (s * bits);
        }
        codes[f / per_byte] = static_cast<uint8_t>(byte);
    }
}

template <class Isa>
void join_rows(const Join& join, const Output& out, int64_t rows, int threads) {
    int64_t widest = 0, columns = 0;
    for (int p = 0; p < join.count; ++p) {
        const int64_t width = join.parts[p].terms[0].x.columns;
        widest = std::max(widest, width);
        columns = join.concatenates ? columns + width : width;
    }
    if (rows * columns < kSerialWork / 4) threads = 1;
    const Scratch<int32_t> decoded(widest, threads), joined(columns + widest, threads);
    const Scratch<int64_t> sums(widest, threads);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic, kJoinedRows)
    for (int64_t row = 0; row < rows; ++row) {
        const int thread = this_thread();
        int64_t* total = sums.get(thread);
        int32_t* result = joined.get(thread);
        int64_t place = 0;
        for (int p = 0; p < join.count; ++p) {
            const Part& part = join.parts[p];
            const int64_t width = part.terms[0].x.columns;
            for (int64_t f = 0; f < width; ++f) total[f] = part.bias == nullptr ? 0 : part.bias[f];
            for (int t = 0; t < part.count; ++t) add_term(part.terms[t], row, decoded.get(thread), total);
            int32_t* own = p == 0 || join.concatenates ? result + place : result + columns;
            round_part(part, join, total, width, own);
            if (own == result + columns) {
                for (int64_t f = 0; f < width; ++f) result[f] = std::max(result[f], own[f]);
            }
            if (join.concatenates) place += width;
        }
        pack_integers(result, columns, join, static_cast<uint8_t*>(out.data) + row * out.row_bytes);
    }
}

}  // namespace
}  // namespace mixq
