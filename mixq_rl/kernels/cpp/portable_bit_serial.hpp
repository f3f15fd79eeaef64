// Products of few bits in plain C++, eight columns to an addition of 64 bits.
#pragma once

#include "bit_serial.hpp"
#include "scalar.hpp"

namespace mixq {
namespace {

// The products of a nibble of x, whichever it is, with its rows of the weight are made once, and serve many rows of x.
struct PortableDigits : RowByRow<PortableDigits> {
    using Lane = uint8_t;
    static constexpr int kVector = 32;
    static constexpr int kTileRows = 64;
    static constexpr int kTileColumns = 32;
    static constexpr int kWords = kVector / 8;
    static constexpr int64_t kNibbles = 32;  // so many as to keep their tables in the nearest cache

    static Digits digits(int x_bits, int weight_bits) { return {x_bits, weight_bits, 1, 8 / x_bits}; }

    static int64_t lane_of(int64_t column) { return column; }

    struct Table {
        uint64_t sum[16][kWords];
    };

    static void fill(const uint8_t* lanes, int digit, Table& table) {
        std::fill_n(table.sum[0], kWords, uint64_t{0});
        for (int bit = 0; bit < 4; ++bit) {
            for (int word = 0; word < kWords; ++word) {
                uint64_t codes;
                std::memcpy(&codes, lanes + bit / digit * kVector + 8 * word, 8);
                codes <<= bit % digit;
                for (int i = 0; i < 1 << bit; ++i) table.sum[1 << bit | i][word] = table.sum[i][word] + codes;
            }
        }
    }

    static void add(const Strip<Lane>& strip, int32_t* sums, int64_t width) {
        Table tables[kNibbles];
        const int rows_of = 4 / strip.x_digit;  // of the weight, to a nibble
        const int largest = rows_of * ((1 << strip.x_digit) - 1) * ((1 << strip.weight_digit) - 1);
        static_assert(255 / (2 * 3 * 15) >= 2 && 255 / (15 * 3) >= 2, "eight bits hold the sums of two nibbles");
        const int64_t nibbles = strip.groups / rows_of, most = std::min<int64_t>(255 / largest / 2 * 2, kNibbles);
        for (int64_t begin = 0; begin < nibbles; begin += most) {
            const int64_t count = std::min(most, nibbles - begin);
            for (int64_t i = 0; i < count; ++i) {
                fill(strip.lanes + (begin + i) * rows_of * kVector, strip.x_digit, tables[i]);
            }
            for (int r = 0; r < kTileRows; ++r) {
                if (r > 0 && strip.rows[r] == strip.rows[r - 1]) break;  // there are no more
                const uint8_t* row = strip.rows[r] + begin / 2;
                uint64_t sum[kWords] = {};
                for (int64_t i = 0; i < count; i += 2) {
                    const uint64_t* low = tables[i].sum[row[i / 2] & 15];
                    const uint64_t* high = tables[i + 1].sum[row[i / 2] >> 4];
                    for (int word = 0; word < kWords; ++word) sum[word] += low[word] + high[word];
                }
                uint8_t bytes[kVector];
                std::memcpy(bytes, sum, kVector);
                for (int n = 0; n < kVector; ++n) sums[r * width + n] += bytes[n];
            }
        }
    }
};

}  // namespace
}  // namespace mixq
