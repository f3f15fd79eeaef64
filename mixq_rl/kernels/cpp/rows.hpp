// Memory for rows in the making, and where finished rows go.
#pragma once

#include <algorithm>
#include <cstring>
#include <new>
#include <type_traits>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "engine.hpp"

namespace mixq {
namespace {

constexpr int64_t kStreamBytes = 16 << 20;  // results larger than this would push everything else out of the caches
constexpr int64_t kSerialWork = 1 << 15;    // multiply-accumulates below which waking threads costs more

#if defined(__BYTE_ORDER__)
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are read from packed rows lowest byte first");
#endif

template <int kValue>
using Index = std::integral_constant<int, kValue>;

// Calls body with the bits of storage as a constant.
template <class Body>
void with_bits(int bits, const Body& body) {
    switch (bits) {
        case 1: return body(Index<1>{});
        case 2: return body(Index<2>{});
        case 4: return body(Index<4>{});
        default: return body(Index<8>{});
    }
}

inline int this_thread() {
#if defined(_OPENMP)
    return omp_get_thread_num();
#else
    return 0;
#endif
}

// Memory that begins at a cache line, with one to spare behind it; of several owners, each has its own lines. It is
// made before threads are woken: what is thrown among them ends the process.
template <class T>
struct Scratch {
    explicit Scratch(int64_t entries, int owners = 1)
        : count(entries),
          stride((entries * static_cast<int64_t>(sizeof(T)) + 127) / 64 * 64 / static_cast<int64_t>(sizeof(T))),
          data(static_cast<T*>(::operator new(static_cast<size_t>(stride * owners) * sizeof(T), kLine))) {}
    ~Scratch() { ::operator delete(data, kLine); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    T* get(int owner = 0) const { return data + owner * stride; }

    static constexpr std::align_val_t kLine{64};
    const int64_t count, stride;
    T* const data;
};

// Word `index` of a row.
inline int load_word(const uint8_t* row, int64_t index) {
    int word;
    std::memcpy(&word, row + 4 * index, 4);
    return word;
}

// The word that begins here, zeros where memory that may be read ends before it does.
inline uint32_t load_word_before(const uint8_t* place, int64_t left) {
    if (left >= 4) return static_cast<uint32_t>(load_word(place, 0));
    uint32_t word = 0;
    for (int64_t i = 0; i < left; ++i) word |= static_cast<uint32_t>(place[i]) << (8 * i);
    return word;
}

// Brings finished sums to where they belong, if they are not there yet.
template <class Isa>
void finish_row(const int32_t* sums, int64_t columns, const Output& out, const typename Isa::Rescaling& rescaling,
                int64_t row) {
    char* target = static_cast<char*>(out.data) + row * out.row_bytes;
    if (out.rescale != nullptr) {
        Isa::requantize(sums, columns, rescaling, row, reinterpret_cast<uint8_t*>(target));
    } else if constexpr (Isa::kStreams) {
        int32_t* place = reinterpret_cast<int32_t*>(target);
        if (sums != place) Isa::stream(sums, columns, place);
    }
}

// Where the sums of a row are made: in place, or in scratch if they are to be requantized or to pass by the caches.
template <class Isa>
int32_t* sums_of(const Output& out, int64_t rows, int64_t row, int32_t* scratch) {
    if (out.rescale != nullptr || (Isa::kStreams && rows * out.row_bytes > kStreamBytes)) return scratch;
    return reinterpret_cast<int32_t*>(static_cast<char*>(out.data) + row * out.row_bytes);
}

// A row of a product from its sum over codes: scale * sum + constant + base[column].
struct Affine {
    int32_t scale, constant;
    const int32_t* base;
};

template <class Isa>
void write_product(const int32_t* product, const Affine& affine, int64_t columns, const Output& out,
                   const typename Isa::Rescaling& rescaling, int64_t rows, int64_t row, int32_t* scratch) {
    int32_t* target = sums_of<Isa>(out, rows, row, scratch);
    for (int64_t n = 0; n < columns; ++n) target[n] = affine.scale * product[n] + affine.constant + affine.base[n];
    finish_row<Isa>(target, columns, out, rescaling, row);
}

}  // namespace
}  // namespace mixq
