// Edges sorted by counting: stably by target, where they are in the order of their sources; by source before that, where
// they are not.
//
// Edges go to buckets first, in private memory: a bucket holds the edges of neighbouring nodes, few enough for a near
// cache. Then one thread sorts a bucket.
#pragma once

#include "edges.hpp"
#include "pages.hpp"

namespace mixq {
namespace {

constexpr int64_t kBucketEntries = 1 << 15;  // of edges and loops, on average
constexpr int64_t kAhead = 24;               // pairs
constexpr int64_t kMostBuckets = 256;        // that are written to by turns: each has a page of memory

struct Pair {
    int32_t source, target;
};

// Private copies of edges, by the bucket of one of their ends.
class Buckets {
  public:
    Buckets(const EdgeList& edges, bool by_target, int threads)
        : by_target(by_target),
          nodes_(by_target ? edges.targets : edges.sources),
          shift(shift_for(edges.count + nodes_, nodes_)),
          count(std::max<int64_t>((nodes_ + (int64_t{1} << shift) - 1) >> shift, 1)),
          parts(edges, threads),
          next_(count, parts.count),
          starts_(count, parts.count),
          own_(count, parts.count),
          begins_(count + 1),
          ends_(2, parts.count) {}

    // Copies edges to `pairs` and `weight`. Edges of a bucket stay in their order, that of their sources if `ordered`.
    Outcome fill(const EdgeList& edges, bool ordered, Pair* pairs, double* weight) {
        Outcome outcome = parts.each([&](int part) {
            int32_t* counts = next_.get(part);
            std::fill_n(counts, count, 0);
            const Nodes& ends = by_target ? edges.target : edges.source;
            int32_t key[kBlock];
            for (int64_t begin = parts.begin(part); begin < parts.end(part); begin += kBlock) {
                const int64_t size = std::min(kBlock, parts.end(part) - begin);
                if (!copy_block(ends, begin, size, nodes_, key)) return Outcome::wrong;
                for (int64_t i = 0; i < size; ++i) ++counts[key[i] >> shift];
            }
            return Outcome::done;
        });
        if (outcome != Outcome::done) return outcome;
        make_places();
        const int32_t total = begins_.get()[count];
        outcome = parts.each([&](int part) { return copy(edges, ordered, part, total, pairs, weight); });
        if (outcome != Outcome::done) return outcome;
        return !filled(total) ? Outcome::changed : ordered && !parts_ascend() ? Outcome::unordered : Outcome::done;
    }

    int64_t begin(int64_t bucket) const { return begins_.get()[bucket]; }
    int64_t end(int64_t bucket) const { return begins_.get()[bucket + 1]; }
    int64_t first_node(int64_t bucket) const { return bucket << shift; }
    int64_t last_node(int64_t bucket) const { return std::min((bucket + 1) << shift, nodes_); }
    int64_t most_nodes() const { return std::min(int64_t{1} << shift, nodes_); }

    // Number of a bucket's edges that are self-loops.
    int64_t own(int64_t bucket) const {
        int64_t sum = 0;
        for (int part = 0; part < parts.count; ++part) sum += own_.get(part)[bucket];
        return sum;
    }

    const bool by_target;

  private:
    const int64_t nodes_;

  public:
    const int shift;
    const int64_t count;
    Parts parts;

  private:
    static int shift_for(int64_t entries, int64_t nodes) {
        const int64_t most = std::min(kMostBuckets, 1 + entries / kBucketEntries);
        int shift = 0;
        while (((nodes - 1) >> shift) >= most) ++shift;
        return shift;
    }

    static bool descends(const Block& block, int64_t size, int32_t before) {
        int32_t found = block.source[0] < before;
        for (int64_t i = 1; i < size; ++i) found |= block.source[i] < block.source[i - 1];
        return found != 0;
    }

    // Turns counts into the places of each part's next edge in each bucket.
    void make_places() {
        int32_t total = 0;
        for (int64_t bucket = 0; bucket < count; ++bucket) {
            begins_.get()[bucket] = total;
            for (int part = 0; part < parts.count; ++part) {
                const int32_t found = next_.get(part)[bucket];
                next_.get(part)[bucket] = starts_.get(part)[bucket] = total;
                total += found;
            }
        }
        begins_.get()[count] = total;
    }

    Outcome copy(const EdgeList& edges, bool ordered, int part, int32_t total, Pair* pairs, double* weight) {
        int32_t *place = next_.get(part), *own = own_.get(part), *ends = ends_.get(part), before = 0;
        std::fill_n(own, count, 0);
        ends[0] = INT32_MAX;
        const Outcome outcome =
            for_blocks(edges, parts.begin(part), parts.end(part), [&](auto& block, auto first, auto size) {
                if (ordered && descends(block, size, before)) return Outcome::unordered;
                if (first == parts.begin(part)) ends[0] = block.source[0];
                before = block.source[size - 1];
                const int32_t* key = by_target ? block.target : block.source;
                int32_t equal = 0;
                for (int64_t i = 0; i < size; ++i) equal |= block.source[i] == block.target[i];
                for (int64_t i = 0; i < size && equal != 0; ++i) {
                    own[key[i] >> shift] += block.source[i] == block.target[i];
                }
                if (weight != nullptr) {
                    for (int64_t i = 0; i < size; ++i) {
                        const int32_t at = place[key[i] >> shift]++;
                        if (at >= total) return Outcome::changed;
                        pairs[at] = {block.source[i], block.target[i]};
                        weight[at] = edges.weight[first + i];
                    }
                    return Outcome::done;
                }
                for (int64_t i = 0; i < size; ++i) {
                    const int32_t at = place[key[i] >> shift]++;
                    if (at >= total) return Outcome::changed;
                    will_write(pairs + at + kAhead);
                    pairs[at] = {block.source[i], block.target[i]};
                }
                return Outcome::done;
            });
        ends[1] = before;
        return outcome;
    }

    // Whether each part has filled the places that it had counted: if not, edges were written to in between.
    bool filled(int32_t total) const {
        int32_t wrong = 0;
        for (int64_t bucket = 0; bucket < count; ++bucket) {
            for (int part = 0; part < parts.count; ++part) {
                const bool is_last = part + 1 == parts.count;
                const int32_t next = !is_last              ? starts_.get(part + 1)[bucket]
                                     : bucket + 1 == count ? total
                                                           : starts_.get(0)[bucket + 1];
                wrong |= next_.get(part)[bucket] ^ next;
            }
        }
        return wrong == 0;
    }

    bool parts_ascend() const {
        for (int part = 1; part < parts.count; ++part) {
            if (ends_.get(part)[0] < ends_.get(part - 1)[1]) return false;
        }
        return true;
    }

    Scratch<int32_t> next_, starts_, own_, begins_, ends_;
};

// Calls body(bucket, counts) for all buckets; counts has an entry for each node of a bucket.
template <class Body>
void for_buckets(const Buckets& buckets, const Body& body) {
    const int threads = buckets.parts.count;
    Scratch<int32_t> counts(buckets.most_nodes(), threads);
#if defined(_OPENMP)
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) if (threads > 1)
#endif
    for (int64_t bucket = 0; bucket < buckets.count; ++bucket) body(bucket, counts.get(this_thread()));
}

// Writes for each node of a bucket how many of its edges have that end.
inline void count_ends(const Buckets& buckets, int64_t bucket, const Pair* pairs, int32_t* counts) {
    std::fill_n(counts, buckets.last_node(bucket) - buckets.first_node(bucket), 0);
    const int32_t first = static_cast<int32_t>(buckets.first_node(bucket));
    const int64_t begin = buckets.begin(bucket), end = buckets.end(bucket);
    if (buckets.by_target) {
        for (int64_t i = begin; i < end; ++i) ++counts[pairs[i].target - first];
    } else {
        for (int64_t i = begin; i < end; ++i) ++counts[pairs[i].source - first];
    }
}

// Edges and their weights, if they have any, in private memory.
struct Copy {
    Copy(int64_t edges, bool weighted) : pairs(edges), weights(weighted ? edges : 0), weighted(weighted) {
        prefer_large_pages(pairs.get(), static_cast<size_t>(edges) * sizeof(Pair));
        if (weighted) prefer_large_pages(weights.get(), static_cast<size_t>(edges) * sizeof(double));
    }

    double* weight() const { return weighted ? weights.get() : nullptr; }

    Scratch<Pair> pairs;
    Scratch<double> weights;
    const bool weighted;
};

inline Outcome sort_by_source(const EdgeList& edges, int threads, Copy& room, Copy& result) {
    Buckets buckets(edges, false, threads);
    const Pair* pairs = room.pairs.get();
    const Outcome outcome = buckets.fill(edges, false, room.pairs.get(), room.weight());
    if (outcome != Outcome::done) return outcome;
    for_buckets(buckets, [&](int64_t bucket, int32_t* place) {
        count_ends(buckets, bucket, pairs, place);
        const int64_t first = buckets.first_node(bucket), nodes = buckets.last_node(bucket) - first;
        int32_t next = static_cast<int32_t>(buckets.begin(bucket));
        for (int64_t node = 0; node < nodes; ++node) {
            const int32_t found = place[node];
            place[node] = next;
            next += found;
        }
        for (int64_t i = buckets.begin(bucket); i < next; i += 64 / sizeof(Pair)) will_write(result.pairs.get() + i);
        for (int64_t i = buckets.begin(bucket); i < buckets.end(bucket); ++i) {
            const int32_t at = place[pairs[i].source - first]++;
            result.pairs.get()[at] = pairs[i];
            if (result.weighted) result.weights.get()[at] = room.weights.get()[i];
        }
    });
    return Outcome::done;
}

// Puts a bucket's edges into their rows, and each loop where its node's turn as a source is over.
template <bool kWeighted>
struct Putting {
    const Loops loops;
    const Sorted sorted;
    int32_t* const place;  // of the next entry of each row
    const int64_t first;   // row
    int64_t next_loop, last_loop;

    void put_loops(int64_t end) {
        for (; next_loop < end; ++next_loop) {
            const int32_t at = place[next_loop - first]++;
            sorted.col[at] = static_cast<int32_t>(next_loop);
            sorted.loops[next_loop] = at;
            if constexpr (kWeighted) sorted.weight[at] = loops.weight[next_loop];
        }
    }

    void put(const Pair* pairs, const double* weight, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const Pair edge = pairs[i];
            if (next_loop < edge.source && next_loop < last_loop) put_loops(std::min<int64_t>(edge.source, last_loop));
            if (loops.replacing && edge.source == edge.target) {
                if (kWeighted && loops.keeps_weight) loops.weight[edge.target] = weight[i];
                continue;
            }
            const int32_t at = place[edge.target - first]++;
            sorted.col[at] = edge.source;
            if constexpr (kWeighted) sorted.weight[at] = weight[i];
        }
        put_loops(last_loop);
    }
};

inline Outcome sort_by_target(const EdgeList& edges, const Loops& loops, const Sorted& sorted, int threads,
                              Copy& room, int64_t* entries) {
    Buckets buckets(edges, true, threads);
    const Outcome outcome = buckets.fill(edges, true, room.pairs.get(), room.weight());
    if (outcome != Outcome::done) return outcome;
    Scratch<int64_t> begins(buckets.count + 1);
    begins.get()[0] = 0;
    for (int64_t bucket = 0; bucket < buckets.count; ++bucket) {
        const int64_t added = loops.added ? buckets.last_node(bucket) - buckets.first_node(bucket) : 0;
        const int64_t kept = buckets.end(bucket) - buckets.begin(bucket) - (loops.replacing ? buckets.own(bucket) : 0);
        begins.get()[bucket + 1] = begins.get()[bucket] + kept + added;
    }
    const Pair* pairs = room.pairs.get();
    for_buckets(buckets, [&](int64_t bucket, int32_t* place) {
        count_ends(buckets, bucket, pairs, place);
        const int64_t first = buckets.first_node(bucket), last = buckets.last_node(bucket);
        const int64_t begin = buckets.begin(bucket), end = buckets.end(bucket);
        if (loops.replacing && buckets.own(bucket) > 0) {
            for (int64_t i = begin; i < end; ++i) {
                if (pairs[i].source == pairs[i].target) --place[pairs[i].target - first];
            }
        }
        int32_t next = static_cast<int32_t>(begins.get()[bucket]);
        for (int64_t row = first; row < last; ++row) {
            const int32_t found = place[row - first] + (loops.added ? 1 : 0);
            place[row - first] = sorted.rowptr[row] = next;
            next += found;
        }
        for (int64_t i = begins.get()[bucket]; i < next; i += 64 / sizeof(int32_t)) will_write(sorted.col + i);
        const int64_t last_loop = loops.added ? last : first;
        if (room.weighted) {
            Putting<true>{loops, sorted, place, first, first, last_loop}.put(pairs, room.weights.get(), begin, end);
        } else {
            Putting<false>{loops, sorted, place, first, first, last_loop}.put(pairs, nullptr, begin, end);
        }
    });
    *entries = begins.get()[buckets.count];
    sorted.rowptr[edges.targets] = static_cast<int32_t>(*entries);
    return Outcome::done;
}

}  // namespace
}  // namespace mixq
