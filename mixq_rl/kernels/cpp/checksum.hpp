// Checksums of 128 bits that tell contents apart, whoever wrote them.
//
// Each block of words is hashed by NH (Black, Halevi, Krawczyk, Krovetz, Rogaway: UMAC, 1999) with two keys that overlap:
// two different blocks have equal hashes with a probability of 2^-64. The keys are drawn anew in each process. The sum
// of the blocks' hashes, each mixed with its place, does not depend on the number of threads.
#pragma once

#include <random>

#include "nodes.hpp"

namespace mixq {
namespace {

constexpr int64_t kHalf = kBlock / 2;
constexpr int64_t kShift = 4;  // words between the two keys

struct Checksum {
    uint64_t first = 0, second = 0;

    void add(const Checksum& other) {
        first += other.first;
        second += other.second;
    }
};

// A bijection under which neighbouring numbers have nothing in common (Steele, Lea, Flood: SplitMix, 2014).
inline uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

struct Key {
    Key() {
        std::random_device draw;
        for (uint32_t& word : words) word = draw();
        seed = uint64_t{draw()} << 32 | draw();
    }

    uint32_t words[kBlock + kShift];
    uint64_t seed;
};

inline const Key& key() {
    static const Key drawn;
    return drawn;
}

// Hash of kBlock words that are the block at a place.
inline Checksum hash_block(const uint32_t* words, int64_t place, const Key& key) {
    uint64_t first = 0, second = 0;
    for (int64_t i = 0; i < kHalf; ++i) {
        const uint32_t low = words[i], high = words[i + kHalf];
        first += uint64_t{low + key.words[i]} * uint64_t{high + key.words[i + kHalf]};
        second += uint64_t{low + key.words[i + kShift]} * uint64_t{high + key.words[i + kHalf + kShift]};
    }
    const uint64_t tweak = mix(key.seed + static_cast<uint64_t>(place) * 0x9e3779b97f4a7c15u);
    return {mix(first ^ tweak), mix(second + tweak)};
}

}  // namespace
}  // namespace mixq
