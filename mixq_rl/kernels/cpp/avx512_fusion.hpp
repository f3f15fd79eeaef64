// Sums to codes without a way through memory: in the order in which a pass over neighbours has them.
#pragma once

#include "avx512_codes.hpp"

namespace mixq {
namespace {

// A pass has a row's bytes sixteen at a time: vector (p, s) has the sums of code s of each byte of piece p. Four pieces
// in a row share their bytes, of which each has a quarter of every sixteen (avx512_vectors.hpp: interleave_lanes).
struct Avx512Fusion : Avx512Codes {
    using Row = RowRescale<false>;

    Avx512Fusion(const Rescale* rescale, const Matrix& x)
        : possible(rescale != nullptr && !rescale->per_column && keeps_places(*rescale, x)),
          result_bits(possible ? rescale->storage_bits : 0),
          rescaling(possible ? rescale : nullptr, x.columns, (x.row_bytes + 15) / 16 * 16 * (8 / x.bits), Order(x)) {}

    // Whether codes can be written where those that were read are.
    static bool keeps_places(const Rescale& rescale, const Matrix& x) {
        return rescale.storage_bits == x.bits || (x.bits == 8 && rescale.storage_bits > 1);
    }

    struct Order {
        explicit Order(const Matrix& x)
            : per_byte(8 / x.bits), quartered(x.bits == 1 ? 0 : (x.row_bytes + 15) / 16 / 4 * 4) {}

        int64_t operator()(int64_t place) const {
            const int64_t entry = place % 16, piece = place / 16 / per_byte, s = place / 16 % per_byte;
            int64_t byte = piece * 16 + entry;
            if (piece < quartered) byte = piece / 4 * 64 + entry / 4 * 16 + piece % 4 * 4 + entry % 4;
            return byte * per_byte + s;
        }

        int64_t per_byte, quartered;
    };

    // From sums of codes to sums of integers: step * sum + constant.
    struct Finish {
        template <int kPerByte>
        MIXQ_INLINE inline __m512i of(__m512i sum) const {
            // Only single bits can be two apart.
            return _mm512_add_epi32(kPerByte == 8 ? _mm512_sll_epi32(sum, shift) : sum, constant);
        }

        __m512i constant;
        __m128i shift;
    };

    // Writes a row's codes, from byte `first` of the row that was read.
    template <int kBits, int kPieces>
    MIXQ_INLINE inline void write(const __m512i (&sum)[kPieces][8 / kBits], const Finish& finish, const Row& rescale,
                                  int64_t row, int64_t first, const Matrix& x, uint8_t* codes) const {
        if constexpr (kBits == 1) {
            unroll<kPieces>([&](auto p) MIXQ_INLINE {
                const int64_t byte = first + 16 * p;
                const __m128i signs = signs_of(sum[p], finish, byte * 8, rescale);
                store_first_bytes(codes + byte, signs, std::min<int64_t>(x.row_bytes - byte, 16));
            });
        } else {
            constexpr int kFull = kPieces / 4, kRest = kPieces % 4;
            unroll<kFull>([&](auto g) MIXQ_INLINE {
                constexpr bool kLast = kRest == 0 && g + 1 == kFull;
                write_pieces<kBits, 4 * g, 4, kLast>(sum, finish, rescale, row, first + 64 * g, x, codes);
            });
            if constexpr (kRest != 0) {
                write_pieces<kBits, 4 * kFull, kRest, true>(sum, finish, rescale, row, first + 64 * kFull, x, codes);
            }
        }
        const int64_t left = x.columns % (8 / kBits);
        if (left != 0 && first + 16 * kPieces >= x.row_bytes) {
            codes[x.row_bytes - 1] = static_cast<uint8_t>(codes[x.row_bytes - 1] & ((1 << left * kBits) - 1));
        }
    }

    // Codes of kCount pieces from piece kFirst on, which begins at a byte. As many codes of each byte are made at once as
    // fill four vectors.
    template <int kBits, int kFirst, int kCount, bool kLast, int kPieces>
    MIXQ_INLINE inline void write_pieces(const __m512i (&sum)[kPieces][8 / kBits], const Finish& finish,
                                         const Row& rescale, int64_t row, int64_t byte, const Matrix& x,
                                         uint8_t* codes) const {
        constexpr int kPerByte = 8 / kBits, kTogether = std::min(kPerByte, kCount == 3 ? 1 : 4 / kCount);
        __m512i joined = _mm512_setzero_si512();
        unroll<kPerByte / kTogether>([&](auto turn) MIXQ_INLINE {
            constexpr int kVectors = kCount * kTogether, kCode = turn * kTogether;
            const auto place_of = [=](int v) {
                return (byte + 16 * (v % kCount)) * kPerByte + 16 * (kCode + v / kCount);
            };
            __m512i given[4], made[4];
            unroll<kVectors>([&](auto v) MIXQ_INLINE {
                given[v] = finish.of<kPerByte>(sum[kFirst + v % kCount][kCode + v / kCount]);
            });
            round_to_codes<kVectors>(given, place_of, rescale, rescaling, row, made);
            const __m512i bytes = kCount == 4 ? bytes_of_lanes(made, rescaling) : bytes_of(made, rescaling);
            joined = _mm512_or_si512(joined, kCode == 0 ? bytes : _mm512_slli_epi16(bytes, kCode * kBits));
        });
        if constexpr (kTogether == 4) {
            const __m512i upper = _mm512_slli_epi16(_mm512_shuffle_i32x4(joined, joined, 0xF5), kBits);
            joined = _mm512_or_si512(joined, upper);
        }
        if constexpr (kTogether > 1) {
            constexpr int kSecond = kTogether == 2 && kCount == 1 ? 0xF5 : 0xEE;
            const __m512i upper = _mm512_shuffle_i32x4(joined, joined, kSecond);
            joined = _mm512_or_si512(joined, _mm512_slli_epi16(upper, kTogether / 2 * kBits));
        }
        const int64_t count = kLast ? std::min<int64_t>(x.row_bytes - byte, 16 * kCount) : 64;
        if constexpr (kBits < 8) return store_first_bytes(codes + byte, joined, count);
        if (kLast) joined = _mm512_maskz_mov_epi8(~uint64_t{0} >> (64 - count), joined);
        store_packed(joined, count, result_bits, codes + byte * result_bits / 8);
    }

    // Eight sums of each of sixteen bytes to bytes of signs.
    MIXQ_INLINE static inline __m128i signs_of(const __m512i (&sum)[8], const Finish& finish, int64_t place,
                                               const Row& rescale) {
        const __m512i sign = _mm512_set1_epi32(INT32_MIN);
        __m512i signs = _mm512_setzero_si512();
        unroll<8>([&](auto s) MIXQ_INLINE {
            __m512i even, odd;
            rescale.multiply(finish.of<8>(sum[s]), place + 16 * s, even, odd);
            signs = _mm512_ternarylogic_epi32(_mm512_srli_epi32(signs, 1), upper_halves(even, odd), sign, 0xF8);
        });
        const __m128i negative = _mm512_cvtepi32_epi8(_mm512_srli_epi32(signs, 24));
        return _mm_xor_si128(negative, _mm_set1_epi8(-1));
    }

    const bool possible;
    const int result_bits;
    const Rescaling rescaling;
};

}  // namespace
}  // namespace mixq
