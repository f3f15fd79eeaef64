// Pages and lines of memory that is about to be written to: large pages, since a fault for each small page takes as long
// as the computation of what is written there, and lines brought to the caches, since stores in random order would wait
// for each; and pages that are given back.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace mixq {
namespace {

inline void prefer_large_pages([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    constexpr uintptr_t kPage = 2 << 20;
    const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kPage - 1) / kPage * kPage;
    const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) / kPage * kPage;
    // It is advice: where the system does not take it, nothing is lost.
    if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

// Gives whole pages back to the system; what they hold is lost.
inline void give_back_pages([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#if defined(__linux__)
    madvise(data, bytes, MADV_DONTNEED);
#endif
}

// Brings the line of an address to the caches, to be written to. Any address may be given.
inline void will_write([[maybe_unused]] const void* place) {
#if defined(__GNUC__)
    __builtin_prefetch(place, 1);
#endif
}

}  // namespace
}  // namespace mixq
