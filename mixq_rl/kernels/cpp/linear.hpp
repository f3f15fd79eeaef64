// Products: weights are laid out as tiles want them, and tiles handed out. What an `Isa` supplies: see aggregate.hpp.
#pragma once

#include "rows.hpp"

namespace mixq {
namespace {

// Weights as int8, whatever their packing: row k, columns [0, columns).
inline void decode_row(const Matrix& weight, int64_t k, int8_t* out) {
    const uint8_t* row = weight.data + k * weight.row_bytes;
    if (weight.bits == 8) {
        for (int64_t n = 0; n < weight.columns; ++n) out[n] = static_cast<int8_t>(row[n] + weight.offset);
        return;
    }
    const int per_byte = 8 / weight.bits, mask = (1 << weight.bits) - 1;
    for (int s = 0; s < per_byte; ++s) {
        const int64_t count = (weight.columns - s + per_byte - 1) / per_byte;
        for (int64_t i = 0; i < count; ++i) {
            const int code = (row[i] >> (s * weight.bits)) & mask;
            out[i * per_byte + s] = static_cast<int8_t>(weight.step * code + weight.offset);
        }
    }
}

// The rows of a matrix, to be read word by word. A row's last word reaches into the rows behind it, where it meets
// weights of 0; rows from which it would reach past the matrix's end are read from a copy with room to spare.
struct Rows {
    explicit Rows(const Matrix& x)
        : first(x.data), row_bytes(x.row_bytes), in_place(rows_in_place(x)), copy((x.rows - in_place) * row_bytes + 4) {
        std::fill_n(copy.get(), copy.count, uint8_t{0});
        std::copy(first + in_place * row_bytes, first + x.rows * row_bytes, copy.get());
    }

    static int64_t rows_in_place(const Matrix& x) {
        const int64_t read = (x.row_bytes + 3) / 4 * 4, held = x.rows * x.row_bytes;
        if (read == 0) return x.rows;
        return held < read ? 0 : (held - read) / x.row_bytes + 1;
    }

    const uint8_t* operator[](int64_t row) const {
        return row < in_place ? first + row * row_bytes : copy.get() + (row - in_place) * row_bytes;
    }

    const uint8_t* first;
    int64_t row_bytes, in_place;
    Scratch<uint8_t> copy;
};

// How the columns of x lie in the 32-bit words that tiles read: lane i of subword s of word d holds column
// d * 32 / bits + i * kSubwords + s. The panel holds the weights of these columns side by side:
// panel[((d * kSubwords + s) * width + n) * kLanes + i].
template <class Isa>
struct Panel {
    Panel(const Matrix& x, const Matrix& weight)
        : inputs(weight.rows),
          columns(weight.columns),
          width((columns + Isa::kVector - 1) / Isa::kVector * Isa::kVector),
          subwords(32 / Isa::kLanes / x.bits),
          words((x.row_bytes + 3) / 4),
          data(words * subwords * width * Isa::kLanes),
          column_sums(width) {}

    void fill(const Matrix& weight, int threads) {
        const Scratch<int8_t> decoded(inputs * columns + columns);
        int8_t* rows = decoded.get();
        const int64_t per_word = subwords * Isa::kLanes;
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
#pragma omp for schedule(static)
            for (int64_t k = 0; k <= inputs; ++k) {
                if (k == inputs) {
                    std::fill_n(rows + k * columns, columns, int8_t{0});  // for the columns of x past the last one
                } else {
                    decode_row(weight, k, rows + k * columns);
                }
            }
#pragma omp for schedule(static)
            for (int64_t word = 0; word < words; ++word) {
                for (int64_t s = 0; s < subwords; ++s) {
                    typename Isa::Lane* target = data.get() + (word * subwords + s) * width * Isa::kLanes;
                    const int8_t* source[Isa::kLanes];
                    for (int i = 0; i < Isa::kLanes; ++i) {
                        source[i] = rows + std::min(word * per_word + i * subwords + s, inputs) * columns;
                    }
                    for (int64_t n = 0; n < columns; ++n) {
                        for (int i = 0; i < Isa::kLanes; ++i) target[n * Isa::kLanes + i] = source[i][n];
                    }
                    std::fill(target + columns * Isa::kLanes, target + width * Isa::kLanes, typename Isa::Lane{0});
                }
            }
#pragma omp for schedule(static)
            for (int64_t block = 0; block < (columns + 63) / 64; ++block) {
                const int64_t first = block * 64, last = std::min(first + 64, columns);
                std::fill(column_sums.get() + first, column_sums.get() + last, 0);
                for (int64_t k = 0; k < inputs; ++k) {
                    for (int64_t n = first; n < last; ++n) column_sums.get()[n] += rows[k * columns + n];
                }
            }
        }
    }

    int64_t inputs, columns, width, subwords, words;
    Scratch<typename Isa::Lane> data;
    Scratch<int32_t> column_sums;
};

template <class Isa>
void linear(const Matrix& x, const Matrix& weight, const Output& out, int threads) {
    if (x.rows == 0 || weight.columns == 0) return;
    if (x.rows * x.columns * weight.columns < kSerialWork) threads = 1;
    Panel<Isa> panel(x, weight);
    panel.fill(weight, threads);
    const int32_t offset = x.offset + x.step * Isa::flip(x, true);
    int32_t* base = panel.column_sums.get();
    for (int64_t n = 0; n < panel.columns; ++n) base[n] *= offset;
    const typename Isa::Rescaling rescaling(out.rescale, weight.columns);
    const Rows rows(x);
    const int64_t blocks = (x.rows + Isa::kTileRows - 1) / Isa::kTileRows;
    const int64_t batch = std::max<int64_t>(1, std::min<int64_t>(8, blocks / (8 * threads)));
    const Scratch<int32_t> products(Isa::kTileRows * panel.width, threads), sums(panel.columns, threads);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        int32_t* tile = products.get(this_thread());
        int32_t* scratch = sums.get(this_thread());
#pragma omp for schedule(dynamic, batch) nowait
        for (int64_t block = 0; block < blocks; ++block) {
            const int64_t first = block * Isa::kTileRows;
            const int64_t count = std::min<int64_t>(Isa::kTileRows, x.rows - first);
            const uint8_t* block_rows[Isa::kTileRows];
            for (int64_t r = 0; r < Isa::kTileRows; ++r) block_rows[r] = rows[first + std::min(r, count - 1)];
            for (int64_t n = 0; n < panel.width; n += Isa::kTileColumns) {
                const int64_t columns = std::min<int64_t>(Isa::kTileColumns, panel.width - n);
                Isa::tile(x, block_rows, panel.data.get() + n * Isa::kLanes, panel.width,
                          static_cast<int>(columns / Isa::kVector), panel.words, tile + n);
            }
            for (int64_t r = 0; r < count; ++r) {
                write_product<Isa>(tile + r * panel.width, {x.step, 0, base}, panel.columns, out, rescaling, x.rows,
                                   first + r, scratch);
            }
        }
        if constexpr (Isa::kStreams) Isa::fence();
    }
}

}  // namespace
}  // namespace mixq
