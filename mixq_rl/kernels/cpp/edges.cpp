// Edges sorted for CSR matrices, and checksums of what they were made from, bound to Python.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <utility>

#include "bindings.hpp"
#include "block_rows.hpp"
#include "checksum.hpp"
#include "ordered.hpp"
#include "sorting.hpp"

namespace py = pybind11;

namespace mixq {
namespace {

using Sums = std::pair<uint64_t, uint64_t>;

Nodes nodes(Address data, int64_t stride, bool is_wide) { return {at<const void>(data), stride, is_wide}; }

EdgeList edge_list(const Nodes& source, const Nodes& target, Address weight, int64_t count, int64_t sources,
                   int64_t targets) {
    return {source, target, at<const double>(weight), count, sources, targets};
}

Loops loops(bool added, bool replacing, Address weight, bool keeps_weight) {
    return {added, replacing, at<double>(weight), keeps_weight};
}

Sorted sorted(Address rowptr, Address col, Address weight, Address loops) {
    return {at<int32_t>(rowptr), at<int32_t>(col), at<double>(weight), at<int64_t>(loops)};
}

BlockRows block_rows(Address rowptr, Address col, Address weight, int64_t count, int64_t first, int64_t columns,
                     int64_t entries) {
    return {at<const int64_t>(rowptr), at<const int32_t>(col), at<const double>(weight), count, first, columns, entries};
}

bool exist(const EdgeList& edges, int threads) {
    Parts parts(edges, threads);
    const auto nothing = [](auto&, auto, auto) { return Outcome::done; };
    return parts.each([&](int part) { return for_blocks(edges, parts.begin(part), parts.end(part), nothing); }) ==
           Outcome::done;
}

// Whether the first edges are in order: by source, or by target too.
bool seem_ordered(const EdgeList& edges, bool by_target) {
    Block block;
    const int64_t size = std::min(kBlock, edges.count);
    block.read(edges, 0, size);
    bool ordered = true;
    for (int64_t i = 1; i < size; ++i) {
        const bool ascends = block.source[i - 1] <= block.source[i];
        ordered &= !by_target ? ascends
                              : block.target[i - 1] < block.target[i] ||
                                    (block.target[i - 1] == block.target[i] && ascends);
    }
    return ordered;
}

Outcome sort_any(const EdgeList& edges, const Loops& loops, const Sorted& sorted, int threads, int64_t* entries) {
    Outcome outcome = Outcome::unordered;
    if (seem_ordered(edges, true)) outcome = copy_ordered(edges, loops, sorted, threads, entries);
    if (outcome != Outcome::unordered) return outcome;
    const bool weighted = edges.weight != nullptr;
    Copy room(edges.count, weighted);
    if (seem_ordered(edges, false)) outcome = sort_by_target(edges, loops, sorted, threads, room, entries);
    if (outcome != Outcome::unordered) return outcome;
    Copy by_source(edges.count, weighted);
    outcome = sort_by_source(edges, threads, room, by_source);
    if (outcome != Outcome::done) return outcome;
    const int32_t* first = &by_source.pairs.get()->source;
    const EdgeList ordered{{first, 2, false}, {first + 1, 2, false}, by_source.weight(), edges.count,
                           edges.sources,     edges.targets};
    return sort_by_target(ordered, loops, sorted, threads, room, entries);
}

// Returns the number of entries; without one, a node does not exist, or edges were written to meanwhile.
std::optional<int64_t> sort_edges(const EdgeList& edges, const Loops& loops, const Sorted& sorted, int threads) {
    int64_t entries = 0;
    const size_t most = static_cast<size_t>(edges.count + (loops.added ? edges.targets : 0));
    prefer_large_pages(sorted.col, most * sizeof(int32_t));
    if (sorted.weight != nullptr) prefer_large_pages(sorted.weight, most * sizeof(double));
    if (sort_any(edges, loops, sorted, threads, &entries) != Outcome::done) return std::nullopt;
    return entries;
}

// Sums of each row's weights, from its first entry to its last. This function and the next follow indices that
// sort_edges wrote and nobody else has seen yet.
void sum_rows(Address rowptr, int64_t rows, Address weight, Address out) {
    const int32_t* begin = at<const int32_t>(rowptr);
    const double* entry = at<const double>(weight);
    for (int64_t row = 0; row < rows; ++row) {
        double sum = 0;
        for (int64_t e = begin[row]; e < begin[row + 1]; ++e) sum += entry[e];
        at<double>(out)[row] = sum;
    }
}

// Scales entries by the factors of both ends: factor[col] * weight * factor[first + row], from left to right.
void scale_entries(Address rowptr, int64_t rows, Address col, Address weight, Address factor, int64_t first, Address out) {
    const int32_t *begin = at<const int32_t>(rowptr), *column = at<const int32_t>(col);
    const double *entry = at<const double>(weight), *of = at<const double>(factor), *of_rows = of + first;
    for (int64_t row = 0; row < rows; ++row) {
        for (int64_t e = begin[row]; e < begin[row + 1]; ++e) {
            at<double>(out)[e] = of[column[e]] * (entry == nullptr ? 1 : entry[e]) * of_rows[row];
        }
    }
}

// Writes table[col[e]] for each entry; false: an index is out of bounds.
bool gather(Address table, int64_t size, const Nodes& col, int64_t count, Address out, int threads) {
    prefer_large_pages(at<void>(out), static_cast<size_t>(count));
    const EdgeList entries{col, col, nullptr, count, size, size};
    Parts parts(entries, threads);
    const uint8_t* from = at<const uint8_t>(table);
    uint8_t* to = at<uint8_t>(out);
    return parts.each([&](int part) {
        int32_t copy[kBlock];
        for (int64_t begin = parts.begin(part); begin < parts.end(part); begin += kBlock) {
            const int64_t some = std::min(kBlock, parts.end(part) - begin);
            if (!copy_block(col, begin, some, size, copy)) return Outcome::wrong;
            for (int64_t i = 0; i < some; ++i) to[begin + i] = from[copy[i]];
        }
        return Outcome::done;
    }) == Outcome::done;
}

// Calls fill(words, begin, size) for blocks of up to kBlock words, and returns the checksum of what it wrote.
template <class Fill>
std::optional<Sums> checksum(int64_t words, int threads, int64_t place, const Fill& fill) {
    const int64_t blocks = (words + kBlock - 1) / kBlock;
    const int parts = parts_of(words, threads);
    const Key& drawn = key();
    Scratch<Checksum> sums(1, parts);
    Scratch<uint8_t> valid(parts);
    for_parts(parts, [&](int part) {
        Checksum sum;
        uint32_t block[kBlock];
        bool known = true;
        for (int64_t b = blocks * part / parts; b < blocks * (part + 1) / parts; ++b) {
            const int64_t size = std::min(kBlock, words - b * kBlock);
            std::fill(block + size, block + kBlock, 0);
            known = fill(block, b * kBlock, size) && known;
            sum.add(hash_block(block, place + b, drawn));
        }
        *sums.get(part) = sum;
        valid.get()[part] = known;
    });
    Checksum sum;
    bool known = true;
    for (int part = 0; part < parts; ++part) {
        sum.add(*sums.get(part));
        known = known && valid.get()[part] != 0;
    }
    if (!known) return std::nullopt;
    return Sums{sum.first, sum.second};
}

// Checksum of `count` nodes, which are copied to `out` unless it is 0; none if one of them does not fit int32.
std::optional<Sums> copy_nodes(const Nodes& from, int64_t count, Address out, int64_t place, int threads) {
    constexpr int64_t kLimit = (int64_t{1} << 31) - 1;
    if (out != 0) prefer_large_pages(at<void>(out), static_cast<size_t>(count) * sizeof(int32_t));
    return checksum(count, threads, place, [&](uint32_t* block, int64_t begin, int64_t size) {
        int32_t* copy = reinterpret_cast<int32_t*>(block);
        const bool known = copy_block(from, begin, size, kLimit, copy);
        if (out != 0) std::memcpy(at<int32_t>(out) + begin, copy, static_cast<size_t>(size) * sizeof(int32_t));
        return known;
    });
}

std::optional<Sums> bytes_checksum(Address data, int64_t bytes, int threads) {
    return checksum((bytes + 3) / 4, threads, 0, [&](uint32_t* block, int64_t begin, int64_t size) {
        const int64_t left = std::min(4 * size, bytes - 4 * begin);
        block[size - 1] = 0;
        std::memcpy(block, at<const uint8_t>(data) + 4 * begin, static_cast<size_t>(left));
        return true;
    });
}

}  // namespace

void bind_edges(py::module_& module) {
    const py::call_guard<py::gil_scoped_release> release;
    py::class_<Nodes>(module, "Nodes").def(py::init(&nodes));
    py::class_<EdgeList>(module, "EdgeList").def(py::init(&edge_list));
    py::class_<BlockRows>(module, "BlockRows").def(py::init(&block_rows));
    py::class_<Loops>(module, "Loops").def(py::init(&loops));
    py::class_<Sorted>(module, "Sorted").def(py::init(&sorted));
    module.def("exist", &exist, release);
    module.def("sort_edges", &sort_edges, release);
    module.def("copy_rows", &copy_rows, release);
    module.def("sum_rows", &sum_rows, release);
    module.def("scale_entries", &scale_entries, release);
    module.def("gather", &gather, release);
    module.def("copy_nodes", &copy_nodes, release);
    module.def("bytes_checksum", &bytes_checksum, release);
}

}  // namespace mixq
