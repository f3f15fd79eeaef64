// Edges that are in the order of a CSR matrix: copied, with self-loops in between.
#pragma once

#include "edges.hpp"

namespace mixq {
namespace {

// What has been copied: the number of entries and of loops among them, the last edge, and the number of the graph's own
// self-loops that were left out.
struct Reached {
    int64_t entries, loops;
    int32_t row, source;
    int64_t own;

    bool operator==(const Reached& other) const {
        return entries == other.entries && loops == other.loops && row == other.row;
    }
};

struct Copying {
    const EdgeList& edges;
    const Loops& loops;
    const Sorted& sorted;
    Reached at;

    void add_loop() {
        const int64_t node = at.loops++;
        sorted.col[at.entries] = static_cast<int32_t>(node);
        sorted.loops[node] = at.entries;
        if (sorted.weight != nullptr) sorted.weight[at.entries] = loops.weight[node];
        ++at.entries;
    }

    void begin_rows(int64_t last) {
        while (at.row < last) {
            if (loops.added && at.row >= 0 && at.loops <= at.row) add_loop();
            sorted.rowptr[++at.row] = static_cast<int32_t>(at.entries);
        }
    }

    bool add(int32_t source, int32_t target, int64_t index) {
        if (target < at.row || (target == at.row && source < at.source)) return false;
        if (target != at.row) begin_rows(target);
        at.source = source;
        if (loops.added && source > target && at.loops <= target) add_loop();
        if (loops.replacing && source == target) {
            if (loops.keeps_weight) loops.weight[target] = edges.weight[index];
            ++at.own;
            return true;
        }
        sorted.col[at.entries] = source;
        if (sorted.weight != nullptr) sorted.weight[at.entries] = edges.weight[index];
        ++at.entries;
        return true;
    }
};

// Copies the parts at the places that they have if `own` is the number of the graph's own self-loops before each, and
// writes what it is.
inline Outcome copy_parts(const EdgeList& edges, const Loops& loops, const Sorted& sorted, Parts& parts, int64_t* own,
                          int64_t* entries) {
    Scratch<Reached> starts(parts.count), ends(parts.count);
    Scratch<int64_t> before(parts.count + 1);
    std::copy_n(own, parts.count + 1, before.get());
    const Outcome outcome = parts.each([&](int part) {
        const int64_t begin = parts.begin(part);
        Reached start{begin - before.get()[part], 0, -1, 0, 0};
        if (begin > 0) {
            const Edge last(edges, begin - 1);
            if (!last.valid) return Outcome::wrong;
            start.row = last.target;
            start.source = last.source;
            if (loops.added) start.loops = last.target + (last.target < last.source ? 1 : 0);
            start.entries += start.loops;
        }
        Copying copying{edges, loops, sorted, start};
        const Outcome copied = for_blocks(edges, begin, parts.end(part), [&](auto& block, auto first, auto size) {
            Copying local = copying;  // which lies in registers
            for (int64_t i = 0; i < size; ++i) {
                if (!local.add(block.source[i], block.target[i], first + i)) return Outcome::unordered;
            }
            copying.at = local.at;
            return Outcome::done;
        });
        if (part == parts.count - 1) copying.begin_rows(edges.targets);
        starts.get()[part] = start;
        ends.get()[part] = copying.at;
        return copied;
    });
    if (outcome != Outcome::done) return outcome;
    bool joined = true;
    own[0] = 0;
    for (int part = 0; part < parts.count; ++part) {
        own[part + 1] = own[part] + ends.get()[part].own;
        joined &= part == 0 || ends.get()[part - 1] == starts.get()[part];
    }
    *entries = ends.get()[parts.count - 1].entries;
    return joined ? Outcome::done : Outcome::changed;
}

inline Outcome copy_ordered(const EdgeList& edges, const Loops& loops, const Sorted& sorted, int threads,
                            int64_t* entries) {
    Parts parts(edges, threads);
    Scratch<int64_t> own(parts.count + 1);
    if (!parts.keep_together(edges)) return Outcome::wrong;
    std::fill_n(own.get(), parts.count + 1, 0);
    // Most graphs have no self-loops of their own.
    Outcome outcome = copy_parts(edges, loops, sorted, parts, own.get(), entries);
    if (outcome == Outcome::changed && loops.replacing) {
        outcome = copy_parts(edges, loops, sorted, parts, own.get(), entries);
    }
    if (outcome == Outcome::done && loops.keeps_weight) {
        // A loop and the edges that it replaces may be in neighbouring parts.
        for (int64_t node = 0; node < edges.targets; ++node) sorted.weight[sorted.loops[node]] = loops.weight[node];
    }
    return outcome;
}

}  // namespace
}  // namespace mixq
