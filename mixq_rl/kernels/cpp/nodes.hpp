// Numbers of nodes as torch holds them, copied block by block. Other threads and processes may write to them at any
// time: a block is copied, the copy is compared with its bounds, and only the copy is followed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace mixq {
namespace {

constexpr int64_t kBlock = 2048;            // nodes that are copied at a time: they stay in the nearest cache
constexpr int64_t kSerialNodes = 1 << 15;   // below, waking threads costs more

struct Nodes {
    const void* data;  // null: 0, 1, 2, ...
    int64_t stride;    // in numbers
    bool is_wide;      // int64, not int32
};

// Copies numbers and returns whether all lie within 0...limit - 1. In the copy a number that does not may look as if it
// did, if it was wide.
template <class Number>
bool copy_numbers(const Number* from, int64_t stride, int64_t count, int64_t limit, int32_t* copy) {
    const int32_t last = static_cast<int32_t>(limit - 1);
    Number bits = 0;
    if (stride == 1) {
        for (int64_t i = 0; i < count; ++i) {
            bits |= from[i];
            copy[i] = static_cast<int32_t>(from[i]);
        }
    } else {
        for (int64_t i = 0; i < count; ++i) {
            bits |= from[i * stride];
            copy[i] = static_cast<int32_t>(from[i * stride]);
        }
    }
    int32_t beyond = 0;  // its sign is that of any number that is negative or beyond the last
    for (int64_t i = 0; i < count; ++i) beyond |= copy[i] | (last - copy[i]);
    return bits >= 0 && bits <= INT32_MAX && beyond >= 0;
}

inline bool copy_block(const Nodes& nodes, int64_t begin, int64_t count, int64_t limit, int32_t* copy) {
    if (nodes.data == nullptr) {
        for (int64_t i = 0; i < count; ++i) copy[i] = static_cast<int32_t>(begin + i);
        return begin + count <= limit;
    }
    if (nodes.is_wide) {
        return copy_numbers(static_cast<const int64_t*>(nodes.data) + begin * nodes.stride, nodes.stride, count, limit,
                            copy);
    }
    return copy_numbers(static_cast<const int32_t*>(nodes.data) + begin * nodes.stride, nodes.stride, count, limit,
                        copy);
}

inline int parts_of(int64_t nodes, int threads) {
    return static_cast<int>(std::min<int64_t>(std::max(threads, 1), 1 + nodes / kSerialNodes));
}

}  // namespace
}  // namespace mixq
