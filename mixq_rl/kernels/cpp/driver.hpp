// The parts of the operations that are the same for every instruction set: who does which rows, and in what order.
//
// Sums wrap around (the build asks for it): terms may leave int32 on the way to a result that does not.
//
// `Isa` supplies:
//   flip(x, weight_signed)      what is added to the bytes that are multiplied, to get the codes u
//   with_summation(..., body)   calls body(sum), where sum(begin, end, sums) writes the sums over edges begin...end
//   Lane, kLanes, kVector, kTileRows, kTileColumns,
//   tile(...)                   the product of kTileRows rows of x and a panel of weights
//   copy(sums, n, out)          past the caches
//   Rescaling, requantize(sums, n, rescaling, row, codes)      a requantization made ready, and applied to a row
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "engine.hpp"

namespace mixq {
namespace {

constexpr int64_t kStreamBytes = 16 << 20;  // results larger than this would push everything else out of the cache
constexpr int64_t kSerialWork = 1 << 15;    // multiply-accumulates below which waking threads costs more
constexpr int64_t kChunkWork = 1 << 20;     // the least that is worth handing out by itself
constexpr int64_t kChunksPerThread = 16;    // the most

// The edges that a sum runs over.
struct Edges {
    const int32_t* col;
    const uint8_t* weight;  // null: all 1
    bool weight_signed;
    int64_t count;
};

template <class T>
struct Scratch {
    explicit Scratch(int64_t entries)
        : count(entries), data(static_cast<T*>(std::aligned_alloc(64, bytes(entries))), &std::free) {
        if (data == nullptr) throw std::bad_alloc();
    }
    static size_t bytes(int64_t count) { return (static_cast<size_t>(count) * sizeof(T) + 127) / 64 * 64; }
    T* get() const { return data.get(); }
    int64_t count;
    std::unique_ptr<T, decltype(&std::free)> data;
};

// Brings finished sums to where they belong, if they are not there yet.
template <class Isa>
void finish_row(const int32_t* sums, int64_t columns, const Output& out, const typename Isa::Rescaling& rescaling,
                int64_t row) {
    char* target = static_cast<char*>(out.data) + row * out.row_bytes;
    if (out.rescale != nullptr) {
        Isa::requantize(sums, columns, rescaling, row, reinterpret_cast<uint8_t*>(target));
    } else if (reinterpret_cast<const char*>(sums) != target) {
        Isa::copy(sums, columns, reinterpret_cast<int32_t*>(target));
    }
}

// Where the sums of a row are made: in place, or in scratch if they are to be requantized or to pass by the caches.
inline int32_t* sums_of(const Output& out, int64_t rows, int64_t row, int32_t* scratch) {
    if (out.rescale != nullptr || rows * out.row_bytes > kStreamBytes) return scratch;
    return reinterpret_cast<int32_t*>(static_cast<char*>(out.data) + row * out.row_bytes);
}

// Row at which chunk `index` of `count` begins, so that chunks hold equal numbers of rows plus edges.
inline int64_t chunk_begin(const Graph& graph, int64_t index, int64_t count) {
    const int64_t target = (graph.rows + graph.edges) * index / count;
    int64_t low = 0, high = graph.rows;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (graph.rowptr[middle] + middle < target) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

template <class Isa>
void sum_row(const Matrix& x, int32_t offset, const Edges& edges, int64_t begin, int64_t end, int32_t* sums) {
    Isa::with_summation(x, offset, edges, [&](const auto& sum) { sum(begin, end, sums); });
}

template <class Isa>
void aggregate_rows(const Graph& graph, const Matrix& x, const Output& out, const typename Isa::Rescaling& rescaling,
                    int64_t first, int64_t last, int32_t* scratch, int32_t* plain) {
    // Where weights are all 1 they may pass for either kind: take the one that suits x.
    const Edges all_one{graph.col, nullptr, !x.is_signed, graph.edges};
    const Edges weighted{graph.col, graph.weight, graph.weight_signed, graph.edges};
    const Edges& edges = graph.weight == nullptr ? all_one : weighted;
    const int32_t offset = x.offset + x.step * Isa::flip(x, edges.weight_signed);
    const int32_t plain_offset = x.offset + x.step * Isa::flip(x, all_one.weight_signed);
    const bool is_centred = graph.weight != nullptr && graph.weight_zero_point != 0;
    Isa::with_summation(x, offset, edges, [&](const auto& sum) {
        for (int64_t row = first; row < last; ++row) {
            const int64_t begin = graph.rowptr[row], end = graph.rowptr[row + 1];
            int32_t* sums = sums_of(out, graph.rows, row, scratch);
            sum(begin, end, sums);
            if (is_centred) {
                sum_row<Isa>(x, plain_offset, all_one, begin, end, plain);
                for (int64_t f = 0; f < x.columns; ++f) sums[f] -= graph.weight_zero_point * plain[f];
            }
            finish_row<Isa>(sums, x.columns, out, rescaling, row);
        }
    });
}

template <class Isa>
void aggregate(const Graph& graph, const Matrix& x, const Output& out, int threads) {
    if (x.columns == 0) return;
    const int64_t work = (graph.edges + graph.rows) * std::max<int64_t>(x.columns, 16);
    if (work < kSerialWork) threads = 1;
    const typename Isa::Rescaling rescaling(out.rescale, x.columns);
    const int64_t chunks = threads * std::clamp<int64_t>(work / kChunkWork / threads, 1, kChunksPerThread);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Scratch<int32_t> sums(x.columns);
        Scratch<int32_t> plain(graph.weight_zero_point != 0 ? x.columns : 0);
#pragma omp for schedule(dynamic, 1)
        for (int64_t chunk = 0; chunk < chunks; ++chunk) {
            const int64_t first = chunk_begin(graph, chunk, chunks);
            const int64_t last = chunk + 1 == chunks ? graph.rows : chunk_begin(graph, chunk + 1, chunks);
            aggregate_rows<Isa>(graph, x, out, rescaling, first, last, sums.get(), plain.get());
        }
    }
}

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

// Word `index` of a row.
inline int load_word(const uint8_t* row, int64_t index) {
    int word;
    __builtin_memcpy(&word, row + 4 * index, 4);
    return word;
}

// The word that begins here, zeros where memory that may be read ends before it does.
inline uint32_t load_word_before(const uint8_t* place, int64_t left) {
    if (left >= 4) return static_cast<uint32_t>(load_word(place, 0));
    uint32_t word = 0;
    for (int64_t i = 0; i < left; ++i) word |= static_cast<uint32_t>(place[i]) << (8 * i);
    return word;
}

// The rows of a matrix, to be read word by word. A row's last word reaches into the next row, where it meets weights
// of 0; the matrix's last row is read from a copy with room behind it.
struct Rows {
    explicit Rows(const Matrix& x) : first(x.data), row_bytes(x.row_bytes), last(x.rows - 1), copy(x.row_bytes + 4) {
        std::copy_n(first + last * row_bytes, row_bytes, copy.get());
        std::fill_n(copy.get() + row_bytes, 4, uint8_t{0});
    }
    const uint8_t* operator[](int64_t row) const { return row < last ? first + row * row_bytes : copy.get(); }

    const uint8_t* first;
    int64_t row_bytes, last;
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
        Scratch<int8_t> decoded(inputs * columns + columns);
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
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Scratch<int32_t> products(Isa::kTileRows * panel.width);
        Scratch<int32_t> sums(panel.columns);
#pragma omp for schedule(dynamic, batch)
        for (int64_t block = 0; block < blocks; ++block) {
            const int64_t first = block * Isa::kTileRows;
            const int64_t count = std::min<int64_t>(Isa::kTileRows, x.rows - first);
            const uint8_t* block_rows[Isa::kTileRows];
            for (int64_t r = 0; r < Isa::kTileRows; ++r) block_rows[r] = rows[first + std::min(r, count - 1)];
            for (int64_t n = 0; n < panel.width; n += Isa::kTileColumns) {
                const int64_t columns = std::min<int64_t>(Isa::kTileColumns, panel.width - n);
                Isa::tile(x, block_rows, panel.data.get() + n * Isa::kLanes, panel.width,
                          static_cast<int>(columns / Isa::kVector), panel.words, products.get() + n);
            }
            for (int64_t r = 0; r < count; ++r) {
                const int32_t* product = products.get() + r * panel.width;
                int32_t* target = sums_of(out, x.rows, first + r, sums.get());
                for (int64_t n = 0; n < panel.columns; ++n) target[n] = x.step * product[n] + base[n];
                finish_row<Isa>(target, panel.columns, out, rescaling, first + r);
            }
        }
    }
}

}  // namespace
}  // namespace mixq
