// Edges to bring into the order of a CSR matrix, and their division among threads.
#pragma once

#include "nodes.hpp"
#include "rows.hpp"

namespace mixq {
namespace {

// Ordered from the best to the worst: edges are in another order than assumed, name a node that does not exist, or were
// written to meanwhile.
enum class Outcome { done, unordered, wrong, changed };

struct EdgeList {
    Nodes source, target;
    const double* weight;  // null: all 1
    int64_t count, sources, targets;
};

// Self-loops that are added. That of node i comes behind all edges i -> i.
struct Loops {
    bool added;
    bool replacing;     // those of the graph are left out
    double* weight;     // of each node's, null: all 1
    bool keeps_weight;  // the weight is that of the last one left out, if there is any
};

// Where results go; `col` and `weight` have room for all edges, and a loop at each node.
struct Sorted {
    int32_t *rowptr, *col;
    double* weight;  // null: none
    int64_t* loops;
};

struct Block {
    int32_t source[kBlock], target[kBlock];

    bool read(const EdgeList& edges, int64_t begin, int64_t size) {
        const bool known = copy_block(edges.source, begin, size, edges.sources, source);
        return copy_block(edges.target, begin, size, edges.targets, target) && known;
    }
};

struct Edge {
    Edge(const EdgeList& edges, int64_t index) {
        valid = copy_block(edges.source, index, 1, edges.sources, &source);
        valid = copy_block(edges.target, index, 1, edges.targets, &target) && valid;
    }
    int32_t source, target;
    bool valid;
};

template <class Body>
void for_parts(int parts, const Body& body) {
#if defined(_OPENMP)
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
#endif
    for (int part = 0; part < parts; ++part) body(part);
}

// Calls body(block, begin, size) for the blocks of a part until an outcome is not `done`, and returns the last.
template <class Body>
Outcome for_blocks(const EdgeList& edges, int64_t begin, int64_t end, const Body& body) {
    Block block;
    for (; begin < end; begin += kBlock) {
        const int64_t size = std::min(kBlock, end - begin);
        if (!block.read(edges, begin, size)) return Outcome::wrong;
        const Outcome outcome = body(block, begin, size);
        if (outcome != Outcome::done) return outcome;
    }
    return Outcome::done;
}

// Parts of the edges, each for one thread.
struct Parts {
    Parts(const EdgeList& edges, int threads)
        : count(parts_of(edges.count, threads)), begins(count + 1), outcomes(count) {
        for (int part = 0; part <= count; ++part) begins.get()[part] = edges.count * part / count;
    }

    // Moves the bounds so that edges with the same ends are in one part; false: a node does not exist.
    bool keep_together(const EdgeList& edges) {
        for (int part = 1; part < count; ++part) {
            int64_t& begin = begins.get()[part];
            for (begin = std::max(begin, begins.get()[part - 1]); begin > 0 && begin < edges.count; ++begin) {
                const Edge edge(edges, begin), before(edges, begin - 1);
                if (!edge.valid || !before.valid) return false;
                if (edge.source != before.source || edge.target != before.target) break;
            }
        }
        return true;
    }

    int64_t begin(int part) const { return begins.get()[part]; }
    int64_t end(int part) const { return begins.get()[part + 1]; }

    // Calls body(part) for all parts, and returns the worst outcome.
    template <class Body>
    Outcome each(const Body& body) {
        for_parts(count, [&](int part) { outcomes.get()[part] = body(part); });
        return *std::max_element(outcomes.get(), outcomes.get() + count);
    }

    const int count;
    Scratch<int64_t> begins;
    Scratch<Outcome> outcomes;
};

}  // namespace
}  // namespace mixq
