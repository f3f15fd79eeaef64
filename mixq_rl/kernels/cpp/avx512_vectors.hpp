// What the AVX-512 kernels make of vectors. Included where the compiler has been told to use these instructions.
#pragma once

#include "rows.hpp"

namespace mixq {
namespace {

template <class Body, int... kIndex>
MIXQ_INLINE inline void unroll(const Body& body, std::integer_sequence<int, kIndex...>) {
    (body(Index<kIndex>{}), ...);
}

// body(0), ..., body(kCount - 1), each index a constant: only then do arrays of accumulators live in registers.
template <int kCount, class Body>
MIXQ_INLINE inline void unroll(const Body& body) {
    unroll(body, std::make_integer_sequence<int, kCount>{});
}

// sum += four products to each entry. By the intrinsic, GCC keeps old and new sums both, and runs out of registers.
MIXQ_INLINE inline void add_products(__m512i& sum, __m512i unsigned_bytes, __m512i signed_bytes) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(unsigned_bytes), "v"(signed_bytes));
}

MIXQ_INLINE inline void add_products(bool weights_signed, __m512i& sum, __m512i codes, __m512i weights) {
    weights_signed ? add_products(sum, codes, weights) : add_products(sum, weights, codes);
}

// Four lists of bytes to one list of quadruples, within each 128-bit lane: out[j] has bytes 4j...4j+3 of the lane.
inline void interleave_lanes(const __m512i in[4], __m512i out[4]) {
    const __m512i low01 = _mm512_unpacklo_epi8(in[0], in[1]), high01 = _mm512_unpackhi_epi8(in[0], in[1]);
    const __m512i low23 = _mm512_unpacklo_epi8(in[2], in[3]), high23 = _mm512_unpackhi_epi8(in[2], in[3]);
    out[0] = _mm512_unpacklo_epi16(low01, low23);
    out[1] = _mm512_unpackhi_epi16(low01, low23);
    out[2] = _mm512_unpacklo_epi16(high01, high23);
    out[3] = _mm512_unpackhi_epi16(high01, high23);
}

// Transposes four vectors of four 128-bit lanes.
inline void transpose_lanes(__m512i v[4]) {
    const __m512i a = _mm512_shuffle_i32x4(v[0], v[1], 0x44), b = _mm512_shuffle_i32x4(v[2], v[3], 0x44);
    const __m512i c = _mm512_shuffle_i32x4(v[0], v[1], 0xEE), d = _mm512_shuffle_i32x4(v[2], v[3], 0xEE);
    v[0] = _mm512_shuffle_i32x4(a, b, 0x88);
    v[1] = _mm512_shuffle_i32x4(a, b, 0xDD);
    v[2] = _mm512_shuffle_i32x4(c, d, 0x88);
    v[3] = _mm512_shuffle_i32x4(c, d, 0xDD);
}

// Four times sixteen bytes, one neighbour to a lane, to sixteen quadruples in order.
inline __m512i interleave_quarters(__m128i a, __m128i b, __m128i c, __m128i d) {
    const __m512i words = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    const __m512i bytes = _mm512_broadcast_i32x4(_mm_set_epi8(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0));
    __m512i joined = _mm512_inserti32x4(_mm512_castsi128_si512(a), b, 1);
    joined = _mm512_inserti32x4(_mm512_inserti32x4(joined, c, 2), d, 3);
    return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(words, joined), bytes);
}

// The perfect shuffle: entry i of vector s goes to place i * kCount + s.
template <int kCount>
inline void shuffle_perfectly(__m512i* v) {
    const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i high = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
    constexpr int kRounds = kCount == 8 ? 3 : kCount / 2;
    unroll<kRounds>([&](auto) MIXQ_INLINE {
        __m512i next[kCount];
        unroll<kCount / 2>([&](auto k) MIXQ_INLINE {
            next[2 * k] = _mm512_permutex2var_epi32(v[k], low, v[k + kCount / 2]);
            next[2 * k + 1] = _mm512_permutex2var_epi32(v[k], high, v[k + kCount / 2]);
        });
        unroll<kCount>([&](auto k) MIXQ_INLINE { v[k] = next[k]; });
    });
}

// The first `count` bytes of a vector, up to 16. (Masked stores cost many times what others do.)
inline void store_first_bytes(uint8_t* target, __m128i bytes, int64_t count) {
    if (count == 16) return _mm_storeu_si128(reinterpret_cast<__m128i*>(target), bytes);
    if (count & 8) {
        _mm_storel_epi64(reinterpret_cast<__m128i*>(target), bytes);
        bytes = _mm_srli_si128(bytes, 8);
        target += 8;
    }
    if (count & 4) {
        const int word = _mm_cvtsi128_si32(bytes);
        std::memcpy(target, &word, 4);
        bytes = _mm_srli_si128(bytes, 4);
        target += 4;
    }
    int rest = _mm_cvtsi128_si32(bytes);
    for (int64_t i = 0; i < (count & 3); ++i, rest >>= 8) target[i] = static_cast<uint8_t>(rest);
}

// The first `count` bytes of a vector, up to 64.
inline void store_first_bytes(uint8_t* target, __m512i bytes, int64_t count) {
    if (count == 64) return _mm512_storeu_si512(target, bytes);
    __m256i half = _mm512_castsi512_si256(bytes);
    if (count & 32) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), half);
        half = _mm512_extracti64x4_epi64(bytes, 1);
        target += 32;
    }
    __m128i quarter = _mm256_castsi256_si128(half);
    if (count & 16) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(target), quarter);
        quarter = _mm256_extracti128_si256(half, 1);
        target += 16;
    }
    if (count & 15) store_first_bytes(target, quarter, count & 15);
}

// The first `count` entries of a vector, fewer than 16.
inline void store_first_entries(int32_t* target, __m512i entries, int64_t count) {
    __m256i eight = _mm512_castsi512_si256(entries);
    if (count & 8) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), eight);
        eight = _mm512_extracti64x4_epi64(entries, 1);
        target += 8;
    }
    __m128i four = _mm256_castsi256_si128(eight);
    if (count & 4) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(target), four);
        four = _mm256_extracti128_si256(eight, 1);
        target += 4;
    }
    store_first_bytes(reinterpret_cast<uint8_t*>(target), four, 4 * (count & 3));
}

// Of a vector, the entries that a row still has.
inline __mmask16 valid_of(int64_t left) {
    return left >= 16 ? __mmask16{0xFFFF} : left <= 0 ? __mmask16{0} : static_cast<__mmask16>((1u << left) - 1);
}

}  // namespace
}  // namespace mixq
