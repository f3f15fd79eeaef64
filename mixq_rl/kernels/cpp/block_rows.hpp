// Rows of a CSR matrix on their own: a block of a graph that is too large to be sorted as a whole.
#pragma once

#include "edges.hpp"
#include "pages.hpp"

namespace mixq {
namespace {

struct BlockRows {
    const int64_t* rowptr;  // of count + 1 entries, the first of which is that of col[0]
    const int32_t* col;
    const double* weight;  // null: all 1
    int64_t count, first;  // number of rows, and the node of the first one
    int64_t columns, entries;

    int64_t begin(int64_t row) const { return rowptr[row] - rowptr[0]; }
};

inline bool are_bounds(const BlockRows& rows) {
    for (int64_t row = 0; row < rows.count; ++row) {
        if (rows.rowptr[row] > rows.rowptr[row + 1]) return false;
    }
    return rows.begin(rows.count) == rows.entries;
}

// Copies one row to `out` and the entries behind it, with its self-loop; returns whether all its columns exist.
inline bool copy_row(const BlockRows& rows, const Loops& loops, const Sorted& sorted, int64_t row, int64_t out) {
    const int64_t node = rows.first + row;
    bool known = true, open = loops.added;
    const auto add_loop = [&] {
        sorted.col[out] = static_cast<int32_t>(node);
        sorted.loops[row] = out++;
        open = false;
    };
    for (int64_t e = rows.begin(row); e < rows.begin(row + 1); ++e) {
        const int32_t source = rows.col[e];
        known &= source >= 0 && source < rows.columns;
        if (open && source > node) add_loop();
        if (loops.replacing && source == node) {
            if (loops.keeps_weight) loops.weight[row] = rows.weight[e];
            continue;
        }
        if (sorted.weight != nullptr) sorted.weight[out] = rows.weight[e];
        sorted.col[out++] = source;
    }
    if (open) add_loop();
    if (loops.added && sorted.weight != nullptr) sorted.weight[sorted.loops[row]] = loops.weight[row];
    return known;
}

// Copies all rows, each in its order. Returns the number of entries, or -1 for bounds that do not ascend or a column
// that does not exist.
inline int64_t copy_rows(const BlockRows& rows, const Loops& loops, const Sorted& sorted, int threads) {
    if (!are_bounds(rows)) return -1;
    const int parts = parts_of(rows.entries + rows.count, threads);
    const auto each = [&](const auto& body) {
        for_parts(parts, [&](int part) {
            for (int64_t row = rows.count * part / parts; row < rows.count * (part + 1) / parts; ++row) body(part, row);
        });
    };
    sorted.rowptr[0] = 0;
    each([&](int, int64_t row) {
        const int32_t *begin = rows.col + rows.begin(row), *end = rows.col + rows.begin(row + 1);
        const int64_t own = loops.replacing ? std::count(begin, end, rows.first + row) : 0;
        sorted.rowptr[row + 1] = static_cast<int32_t>(end - begin - own + (loops.added ? 1 : 0));
    });
    for (int64_t row = 0; row < rows.count; ++row) sorted.rowptr[row + 1] += sorted.rowptr[row];
    Scratch<uint8_t> known(parts);
    std::fill_n(known.get(), parts, uint8_t{1});
    each([&](int part, int64_t row) {
        if (!copy_row(rows, loops, sorted, row, sorted.rowptr[row])) known.get()[part] = 0;
    });
    const bool exist = std::count(known.get(), known.get() + parts, uint8_t{1}) == parts;
    return exist ? sorted.rowptr[rows.count] : -1;
}

}  // namespace
}  // namespace mixq
