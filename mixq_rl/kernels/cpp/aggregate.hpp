// Aggregation and products as they are for every instruction set: who does which rows, and in what order.
//
// Sums wrap around (the build asks for it): terms may leave int32 on the way to a result that does not.
//
// `Isa` supplies:
//   flip(x, weight_signed)      what is added to the bytes that are multiplied, to get the codes u
//   with_summation(..., body)   calls body(sum), where sum(begin, end, sums, room) writes the sums over edges
//                               begin...end to the first of `room` entries; what it writes behind them means nothing
//   Fusion                      a requantization made ready for sums that are not written before: sum.requantize(...)
//                               writes codes and returns true, or returns false
//   Lane, kLanes, kVector, kTileRows, kTileColumns,
//   tile(...)                   the product of kTileRows rows of x and a panel of weights
//   kStreams, stream(sums, n, out), fence()       whether and how int32 sums are written past the caches
//   Rescaling, requantize(sums, n, rescaling, row, codes)      a requantization made ready, and applied to a row
#pragma once

#include "indices.hpp"

namespace mixq {
namespace {

constexpr int64_t kChunkWork = 1 << 20;   // the least that is worth handing out by itself
constexpr int64_t kChunksPerThread = 16;  // the most

// The edges that a sum runs over.
struct Edges {
    const int32_t* col;
    const uint8_t* weight;  // null: all 1
    bool weight_signed;
    int64_t count;
};

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
    Isa::with_summation(x, offset, edges, [&](const auto& sum) { sum(begin, end, sums, x.columns); });
}

constexpr int64_t kSpareSums = 16;  // behind those of a row

// What a thread writes to while it makes a row.
struct Workspace {
    int32_t *sums, *plain, *col;
};

// Sums rows first...last - 1, unless a neighbour of theirs does not exist: then it returns false.
template <class Isa>
bool aggregate_rows(const Graph& graph, const Matrix& x, const Output& out, const typename Isa::Rescaling& rescaling,
                    const typename Isa::Fusion& fusion, int64_t first, int64_t last, const Workspace& own) {
    const int64_t start = graph.rowptr[first];
    const int64_t count = std::min(graph.rowptr[last] + kPrefetched, graph.edges) - start;
    if (!copy_neighbours(graph.col + start, count, x.rows, own.col)) return false;
    // Where weights are all 1 they may pass for either kind: take the one that suits x.
    const Edges all_one{own.col, nullptr, !x.is_signed, count};
    const Edges weighted{own.col, graph.weight == nullptr ? nullptr : graph.weight + start, graph.weight_signed, count};
    const Edges& edges = graph.weight == nullptr ? all_one : weighted;
    const int32_t offset = x.offset + x.step * Isa::flip(x, edges.weight_signed);
    const int32_t plain_offset = x.offset + x.step * Isa::flip(x, all_one.weight_signed);
    const bool is_centred = graph.weight != nullptr && graph.weight_zero_point != 0;
    int32_t* place = sums_of<Isa>(out, graph.rows, 0, own.sums);
    const bool in_place = place != own.sums;
    const int64_t room = in_place ? x.columns : x.columns + kSpareSums;
    const bool is_fused = fusion.possible && !is_centred;
    Isa::with_summation(x, offset, edges, [&](const auto& sum) {
        for (int64_t row = first; row < last; ++row) {
            const int64_t begin = graph.rowptr[row] - start, end = graph.rowptr[row + 1] - start;
            if (is_fused) {
                uint8_t* codes = static_cast<uint8_t*>(out.data) + row * out.row_bytes;
                if (sum.requantize(begin, end, fusion, row, codes)) continue;
            }
            int32_t* sums = in_place ? place + row * x.columns : own.sums;
            sum(begin, end, sums, room);
            if (is_centred) {
                sum_row<Isa>(x, plain_offset, all_one, begin, end, own.plain);
                for (int64_t f = 0; f < x.columns; ++f) sums[f] -= graph.weight_zero_point * own.plain[f];
            }
            if (!in_place) finish_row<Isa>(sums, x.columns, out, rescaling, row);
        }
    });
    return true;
}

// The row behind a block of rows from `first` on: as many as have kBlockEdges edges, at least one, at most up to `last`.
inline int64_t block_end(const Graph& graph, int64_t first, int64_t last) {
    const int64_t limit = graph.rowptr[first] + kBlockEdges;
    return std::upper_bound(graph.rowptr + first + 2, graph.rowptr + last + 1, limit) - graph.rowptr - 1;
}

template <class Isa>
bool aggregate(const Graph& given, const Matrix& x, const Output& out, int threads) {
    const RowBegins begins(given);
    if (!begins.valid) return false;
    Graph graph = given;
    graph.rowptr = begins.copy.get();
    if (x.columns == 0) return true;
    const int64_t work = (graph.edges + graph.rows) * std::max<int64_t>(x.columns, 16);
    if (work < kSerialWork) threads = 1;
    const typename Isa::Rescaling rescaling(out.rescale, x.columns);
    const typename Isa::Fusion fusion(out.rescale, x);
    const int64_t chunks = threads * std::clamp<int64_t>(work / kChunkWork / threads, 1, kChunksPerThread);
    const Scratch<int32_t> sums(x.columns, threads);
    const Scratch<int32_t> plain(graph.weight_zero_point != 0 ? x.columns : 0, threads);
    const int64_t copied = std::min(std::max(kBlockEdges, begins.largest_degree) + kPrefetched, graph.edges);
    const Scratch<int32_t> neighbours(copied, threads);
    bool valid = true;
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(&& : valid)
    {
        const int thread = this_thread();
        const Workspace own{sums.get(thread), plain.get(thread), neighbours.get(thread)};
#pragma omp for schedule(dynamic, 1) nowait
        for (int64_t chunk = 0; chunk < chunks; ++chunk) {
            const int64_t first = chunk_begin(graph, chunk, chunks);
            const int64_t last = chunk + 1 == chunks ? graph.rows : chunk_begin(graph, chunk + 1, chunks);
            for (int64_t row = first, end; row < last; row = end) {
                end = block_end(graph, row, last);
                valid = aggregate_rows<Isa>(graph, x, out, rescaling, fusion, row, end, own) && valid;
            }
        }
        if constexpr (Isa::kStreams) Isa::fence();
    }
    return valid;
}

}  // namespace
}  // namespace mixq
