// Neighbour sums: four neighbours to a vpdpbusd.
#pragma once

#include "aggregate.hpp"
#include "avx512_fusion.hpp"
#include "avx512_vectors.hpp"

namespace mixq {
namespace {

struct Avx512Aggregate {
    using Fusion = Avx512Fusion;
    using Finish = Fusion::Finish;
    static constexpr int kAhead = 32;    // edges between the one summed and the one fetched
    static constexpr int64_t kNear = 1 << 19;  // bytes of a matrix that the near caches hold without being told
    static constexpr int kVectors = 16;  // accumulators of a pass

    // vpdpbusd multiplies unsigned by signed bytes: codes are made to be the kind that the weights are not.
    static int32_t flip(const Matrix& x, bool weight_signed) {
        if (x.bits < 8 || x.is_signed != weight_signed) return 0;
        return x.is_signed ? -128 : 128;
    }

    // Brings accumulators into the order of the columns, and writes sums from column `first` on, of `room` at most.
    template <int kPerByte, int kPieces>
    MIXQ_INLINE static inline void write_sums(__m512i (&sum)[kPieces][kPerByte], const Finish& finish,
                                              int64_t first, int32_t* sums, int64_t room) {
        unroll<kPieces / 4>([&](auto g) MIXQ_INLINE {
            unroll<kPerByte>([&](auto s) MIXQ_INLINE {
                __m512i lanes[4] = {sum[4 * g][s], sum[4 * g + 1][s], sum[4 * g + 2][s], sum[4 * g + 3][s]};
                transpose_lanes(lanes);
                unroll<4>([&](auto j) MIXQ_INLINE { sum[4 * g + j][s] = lanes[j]; });
            });
        });
        unroll<kPieces>([&](auto p) MIXQ_INLINE {
            shuffle_perfectly<kPerByte>(sum[p]);
            unroll<kPerByte>([&](auto s) MIXQ_INLINE {
                const __m512i finished = finish.of<kPerByte>(sum[p][s]);
                const int64_t column = first + (p * kPerByte + s) * 16;
                if (p + 1 < kPieces || room - column >= 16) {
                    _mm512_storeu_si512(sums + column, finished);
                } else {
                    store_first_entries(sums + column, finished, std::max<int64_t>(room - column, 0));
                }
            });
        });
    }

    // Adds the products of four neighbours' bytes, byte by byte of each: one accumulator for each code in a byte.
    template <int kBits, bool kWeightsSigned, bool kFlip>
    MIXQ_INLINE static inline void add(__m512i* sum, __m512i quadruples, __m512i weights, __m512i mask) {
        if constexpr (kBits == 8) {
            const __m512i codes = kFlip ? _mm512_xor_si512(quadruples, mask) : quadruples;
            add_products(kWeightsSigned, sum[0], codes, weights);
        } else {
            unroll<8 / kBits>([&](auto s) MIXQ_INLINE {
                const __m512i shifted = s == 0 ? quadruples : _mm512_srli_epi16(quadruples, s * kBits);
                add_products(kWeightsSigned, sum[s], _mm512_and_si512(shifted, mask), weights);
            });
        }
    }

    // Sums kPieces times sixteen bytes of neighbours' rows, beginning `first` bytes up. Made once, called for each row.
    template <int kBits, int kPieces, bool kWeightsSigned, bool kFlip>
    struct Pass {
        static constexpr int kPerByte = 8 / kBits;
        static constexpr int kFull = kPieces / 4, kRest = kPieces % 4;

        Pass(const Matrix& matrix, int32_t code_offset, const Edges& all, int64_t first)
            : x(matrix), edges(all), base(matrix.data + first), first_column(first * kPerByte), offset(code_offset) {
            const int64_t last = std::min<int64_t>(16, x.row_bytes - first - 16 * (kPieces - 1));
            last_byte = 16 * (kPieces - 1) + last - 1;
            rest_mask = static_cast<__mmask16>((1u << last) - 1);
            full_mask = kRest == 0 ? ~uint64_t{0} >> (16 - last) : ~uint64_t{0};
            // Rows that do not begin at a cache line reach into one line more.
            fetch_end = x.rows * x.row_bytes > kNear ? edges.count - kAhead - 3 : 0;
            straddles = (reinterpret_cast<uintptr_t>(base) | static_cast<uintptr_t>(x.row_bytes)) % 64 != 0;
        }

        MIXQ_INLINE inline void fetch(int64_t e) const {
            const char* row = reinterpret_cast<const char*>(base + edges.col[e] * x.row_bytes);
            unroll<(kPieces + 3) / 4>([&](auto line) MIXQ_INLINE { _mm_prefetch(row + 64 * line, _MM_HINT_T0); });
            if (straddles) _mm_prefetch(row + last_byte, _MM_HINT_T0);
        }

        using Sums = __m512i[kPieces][kPerByte];

        // Writes the sums over edges begin...end to the first of `room` entries. Inlined, because most rows are short.
        MIXQ_INLINE inline void operator()(int64_t begin, int64_t end, int32_t* sums, int64_t room) const {
            Sums sum;
            const Finish finish = accumulate(begin, end, sum);
            write_sums<kPerByte, kPieces>(sum, finish, first_column, sums, room);
        }

        // The same, requantized; returns whether the row's factors allow it.
        bool requantize(int64_t begin, int64_t end, const Fusion& fusion, int64_t row, uint8_t* codes) const {
            const Fusion::Row rescale(fusion.rescaling, row);
            if (!rescale.is_narrow) return false;
            Sums sum;
            const Finish finish = accumulate(begin, end, sum);
            fusion.write<kBits, kPieces>(sum, finish, rescale, row, first_column / kPerByte, x, codes);
            return true;
        }

        MIXQ_INLINE inline Finish accumulate(int64_t begin, int64_t end, Sums& sum) const {
            const __m512i mask = _mm512_set1_epi8(static_cast<char>(kFlip ? 0x80 : (1 << kBits) - 1));
            const __m512i ones = _mm512_set1_epi8(1);
            __m512i total = _mm512_setzero_si512();
            unroll<kPieces>([&](auto p) MIXQ_INLINE {
                unroll<kPerByte>([&](auto s) MIXQ_INLINE { sum[p][s] = _mm512_setzero_si512(); });
            });
            for (int64_t e = begin; e < end; e += 4) {
                // A row's last group is filled up with the next row's edges at weight 0.
                uint32_t word = 0x01010101;
                if (edges.weight != nullptr) word = load_word_before(edges.weight + e, edges.count - e);
                if (end - e < 4) word &= 0xFFFFFFFFu >> (8 * (4 - (end - e)));
                if (e < fetch_end) {
                    unroll<4>([&](auto i) MIXQ_INLINE { fetch(e + kAhead + i); });
                }
                const __m512i weights = _mm512_set1_epi32(static_cast<int>(word));
                const uint8_t* next[4];
                unroll<4>([&](auto i) MIXQ_INLINE {
                    next[i] = base + edges.col[e + i] * x.row_bytes;
                });
                add_products(kWeightsSigned, total, ones, weights);
                unroll<kFull>([&](auto g) MIXQ_INLINE {
                    const __mmask64 valid = g + 1 == kFull ? full_mask : ~uint64_t{0};
                    __m512i rows[4], quadruples[4];
                    unroll<4>([&](auto i) MIXQ_INLINE { rows[i] = _mm512_maskz_loadu_epi8(valid, next[i] + 64 * g); });
                    interleave_lanes(rows, quadruples);
                    unroll<4>([&](auto j) MIXQ_INLINE {
                        add<kBits, kWeightsSigned, kFlip>(sum[4 * g + j], quadruples[j], weights, mask);
                    });
                });
                unroll<kRest>([&](auto rest) MIXQ_INLINE {
                    constexpr int p = 4 * kFull + rest;
                    const __mmask16 valid = p + 1 == kPieces ? rest_mask : __mmask16{0xFFFF};
                    __m128i rows[4];
                    unroll<4>([&](auto i) MIXQ_INLINE { rows[i] = _mm_maskz_loadu_epi8(valid, next[i] + 16 * p); });
                    const __m512i quadruples = interleave_quarters(rows[0], rows[1], rows[2], rows[3]);
                    add<kBits, kWeightsSigned, kFlip>(sum[p], quadruples, weights, mask);
                });
            }
            const __m512i constant = _mm512_mullo_epi32(total, _mm512_set1_epi32(offset));
            return {constant, _mm_cvtsi32_si128(x.step - 1)};
        }

        const Matrix x;
        const Edges edges;
        const uint8_t* base;
        int64_t first_column, last_byte, fetch_end;
        __mmask64 full_mask;
        __mmask16 rest_mask;
        int32_t offset;
        bool straddles;
    };

    // Calls body with the pass over a row's bytes from `first` on.
    template <int kBits, bool kWeightsSigned, int kPieces, class Body>
    static void with_pass(int64_t first, const Matrix& x, int32_t offset, const Edges& edges, const Body& body) {
        if constexpr (kPieces > 1) {
            if (x.row_bytes - first <= 16 * (kPieces - 1)) {
                return with_pass<kBits, kWeightsSigned, kPieces - 1>(first, x, offset, edges, body);
            }
        }
        if constexpr (kBits == 8) {
            if (x.is_signed == kWeightsSigned) {
                return body(Pass<kBits, kPieces, kWeightsSigned, true>(x, offset, edges, first));
            }
        }
        body(Pass<kBits, kPieces, kWeightsSigned, false>(x, offset, edges, first));
    }

    template <int kBits, class Body>
    static void with_passes(const Matrix& x, int32_t offset, const Edges& edges, const Body& body) {
        constexpr int kMost = kVectors * kBits / 8;
        const auto from = [&](int64_t first, const auto& use) {
            if (edges.weight_signed) {
                with_pass<kBits, true, kMost>(first, x, offset, edges, use);
            } else {
                with_pass<kBits, false, kMost>(first, x, offset, edges, use);
            }
        };
        if (x.row_bytes <= 16 * kMost) return from(0, body);
        body(Passes<decltype(from)>{from, x.row_bytes, 16 * kMost});
    }

    // The passes over rows of which one pass takes a part.
    template <class From>
    struct Passes {
        void operator()(int64_t begin, int64_t end, int32_t* sums, int64_t room) const {
            for (int64_t first = 0; first < row_bytes; first += part) {
                from(first, [&](const auto& pass) { pass(begin, end, sums, room); });
            }
        }

        bool requantize(int64_t begin, int64_t end, const Fusion& fusion, int64_t row, uint8_t* codes) const {
            bool done = true;
            for (int64_t first = 0; done && first < row_bytes; first += part) {
                from(first, [&](const auto& pass) { done = pass.requantize(begin, end, fusion, row, codes); });
            }
            return done;
        }

        const From& from;
        int64_t row_bytes, part;
    };

    template <class Body>
    static void with_summation(const Matrix& x, int32_t offset, const Edges& edges, const Body& body) {
        with_bits(x.bits, [&](auto bits) { with_passes<decltype(bits)::value>(x, offset, edges, body); });
    }
};

}  // namespace
}  // namespace mixq
