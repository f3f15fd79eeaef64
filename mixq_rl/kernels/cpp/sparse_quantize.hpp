// Sparse features to packed integers: every row begins as codes of zero, and its entries are written over them.
//
// Other threads and processes may write to indices at any time: each is read once, and compared with its bounds before
// it is followed.
#pragma once

#include "quantize.hpp"

namespace mixq {
namespace {

// Features in CSR. The entries of a row ascend by their columns: the pass finds out.
template <class T, class Index>
struct Entries {
    const Index* begin;  // of each row, and of what would be one more
    const Index* column;
    const T* value;
    int64_t rows;
    int64_t columns;
    int64_t count;
};

template <class Index>
int64_t read_once(const Index* place) {
    return *static_cast<const volatile Index*>(place);
}

inline void write_code(uint8_t* row, int64_t column, int bits, int code) {
    if (bits == 8) {
        row[column] = static_cast<uint8_t>(code);
        return;
    }
    const int64_t place = column * bits;
    const int shift = static_cast<int>(place % 8), mask = (1 << bits) - 1;
    row[place / 8] = static_cast<uint8_t>((row[place / 8] & ~(mask << shift)) | code << shift);
}

template <class T, class Index>
int quantize_entries(const Entries<T, Index>& x, int64_t first, int64_t end, const Recipe& recipe, int64_t row,
                     uint8_t* out, int32_t* mantissa) {
    using Integer = typename Bits<T>::Integer;
    const int bits = recipe.how.storage_bits;
    int met = 0;
    double magnitude = 1.0;
    if (recipe.how.by_row) {
        const double largest = QuantizeByLoops::magnitude(x.value + first, end - first);
        met |= write_mantissa(largest, recipe.how.row_factor, mantissa + row);
        if (largest > 0) magnitude = largest;
    }
    int64_t last = -1;
    for (int64_t entry = first; entry < end; ++entry) {
        const int64_t column = read_once(x.column + entry);
        if (column <= last || column >= x.columns) return kDisorder;
        last = column;
        const T value = x.value[entry];
        const bool finite = (cast_bits<Integer>(value) & Bits<T>::kMagnitude) < Bits<T>::kInfinite;
        met |= finite ? 0 : kNotFinite;
        const double scale = recipe.how.per_column ? recipe.scale.get()[column] : recipe.single;
        write_code(out, column, bits, exact_code(value, magnitude, scale, recipe));
    }
    return met;
}

template <class T, class Index>
int quantize_sparse(const Entries<T, Index>& x, const Quantization& how, uint8_t* out, int32_t* mantissa,
                    int threads) {
    const Recipe recipe(how, how.per_column ? x.columns : 0);
    const int64_t row_bytes = (x.columns * how.storage_bits + 7) / 8, spare = x.columns * how.storage_bits % 8;
    if (x.count + x.rows * row_bytes / 8 < kSerialWork) threads = 1;
    int met = 0;
#pragma omp parallel for schedule(dynamic, 64) num_threads(threads) if (threads > 1) reduction(| : met)
    for (int64_t row = 0; row < x.rows; ++row) {
        uint8_t* target = out + row * row_bytes;
        std::memset(target, recipe.zeros, static_cast<size_t>(row_bytes));
        if (spare != 0) target[row_bytes - 1] &= static_cast<uint8_t>((1 << spare) - 1);
        const int64_t first = read_once(x.begin + row), end = read_once(x.begin + row + 1);
        if (first < 0 || first > end || end > x.count) {
            met |= kDisorder;
        } else {
            met |= quantize_entries(x, first, end, recipe, row, target, mantissa);
        }
    }
    const bool whole = read_once(x.begin) == 0 && read_once(x.begin + x.rows) == x.count;
    return whole ? met : met | kDisorder;
}

}  // namespace
}  // namespace mixq
