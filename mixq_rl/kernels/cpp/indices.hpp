// Copies of a graph's indices that were checked. Other threads and processes may write to the indices at any time: nothing
// is read at a place that an index names before the index has been copied, and the copy compared with its bounds.
#pragma once

#include "rows.hpp"

namespace mixq {
namespace {

constexpr int64_t kBlockEdges = 1 << 14;  // whose neighbours are copied at a time: the copy stays in a near cache
constexpr int64_t kSpare = 4;             // indices behind a copy, of row 0
constexpr int64_t kPrefetched = 64;       // edges behind a block that are copied too, since they are fetched ahead

// Where each row's edges begin.
struct RowBegins {
    explicit RowBegins(const Graph& graph) : copy(graph.rows + 1) {
        int32_t* begin = copy.get();
        std::memcpy(begin, graph.rowptr, static_cast<size_t>(graph.rows + 1) * sizeof(int32_t));
        int32_t least = 0, most = 0;
        for (int64_t row = 0; row < graph.rows; ++row) {
            least = std::min(least, begin[row + 1] < begin[row] ? -1 : 0);
            most = std::max(most, begin[row + 1] - begin[row]);
        }
        valid = begin[0] == 0 && begin[graph.rows] == graph.edges && least == 0;
        largest_degree = most;
    }

    Scratch<int32_t> copy;
    int64_t largest_degree;
    bool valid;
};

// Copies `count` indices, and returns whether all of them name one of `rows` rows. Behind the copy are a few more, of
// row 0, for those who read indices in groups.
inline bool copy_neighbours(const int32_t* col, int64_t count, int64_t rows, int32_t* copy) {
    std::memcpy(copy, col, static_cast<size_t>(count) * sizeof(int32_t));
    std::fill_n(copy + count, kSpare, 0);
    uint32_t largest = 0;  // negative numbers become larger than any other
    for (int64_t i = 0; i < count; ++i) largest = std::max(largest, static_cast<uint32_t>(copy[i]));
    return count == 0 || static_cast<int64_t>(largest) < std::min(rows, int64_t{1} << 31);
}

}  // namespace
}  // namespace mixq
