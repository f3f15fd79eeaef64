// The operations in plain C++, for every machine.
#include "aggregate.hpp"
#include "join.hpp"
#include "linear.hpp"
#include "portable_bit_serial.hpp"
#include "scalar.hpp"

namespace mixq {
namespace {

struct Portable : RowByRow<Portable> {
    using Lane = int8_t;
    static constexpr int kLanes = 1;
    static constexpr int kTileRows = 4;
    static constexpr int kVector = 32;
    static constexpr int kTileColumns = 32;

    static int32_t flip(const Matrix&, bool) { return 0; }

    template <int kBits, bool kSigned>
    static void add_row(const uint8_t* row, int64_t columns, int32_t weight, int32_t* sums) {
        constexpr int kPerByte = 8 / kBits, kMask = (1 << kBits) - 1;
        for (int64_t f = 0; f < columns / kPerByte * kPerByte; f += kPerByte) {
            const int byte = row[f / kPerByte];
            for (int s = 0; s < kPerByte; ++s) {
                const int code = kSigned ? static_cast<int8_t>(byte) : (byte >> (s * kBits)) & kMask;
                sums[f + s] += weight * code;
            }
        }
        for (int64_t f = columns / kPerByte * kPerByte; f < columns; ++f) {
            const int code = (row[f / kPerByte] >> (f % kPerByte * kBits)) & kMask;
            sums[f] += weight * code;
        }
    }

    static void sum_neighbours(const Matrix& x, int32_t offset, const Edges& edges, int64_t begin, int64_t end,
                               int32_t* sums) {
        std::fill_n(sums, x.columns, 0);
        int32_t total = 0;
        for (int64_t e = begin; e < end; ++e) {
            int32_t weight = 1;
            if (edges.weight != nullptr) {
                weight = edges.weight_signed ? static_cast<int8_t>(edges.weight[e]) : edges.weight[e];
            }
            const uint8_t* row = x.data + edges.col[e] * x.row_bytes;
            total += weight;
            with_bits(x.bits, [&](auto bits) {
                constexpr int kBits = decltype(bits)::value;
                if (kBits == 8 && x.is_signed) return add_row<8, true>(row, x.columns, weight, sums);
                add_row<kBits, false>(row, x.columns, weight, sums);
            });
        }
        for (int64_t f = 0; f < x.columns; ++f) sums[f] = x.step * sums[f] + offset * total;
    }

    static void tile(const Matrix& x, const uint8_t* const* rows, const int8_t* panel, int64_t width, int,
                     int64_t words, int32_t* sums) {
        const int subwords = 32 / x.bits;
        const uint32_t mask = (1u << x.bits) - 1;
        for (int r = 0; r < kTileRows; ++r) {
            int32_t* target = sums + r * width;
            std::fill_n(target, kTileColumns, 0);
            for (int64_t d = 0; d < words; ++d) {
                const uint32_t word = static_cast<uint32_t>(load_word(rows[r], d));
                for (int s = 0; s < subwords; ++s) {
                    const uint32_t bits = (word >> (s * x.bits)) & mask;
                    const int32_t code = x.is_signed ? static_cast<int8_t>(bits) : static_cast<int32_t>(bits);
                    if (code == 0) continue;
                    const int8_t* weights = panel + (d * subwords + s) * width;
                    for (int n = 0; n < kTileColumns; ++n) target[n] += code * weights[n];
                }
            }
        }
    }
};

bool is_faster(const Matrix&, const Matrix&) { return true; }

}  // namespace

const Engine portable{&linear<Portable>, &aggregate<Portable>, &join_rows<Portable>};
const BitSerial portable_bit_serial{&is_faster, &Layout<PortableDigits>::bytes, &Layout<PortableDigits>::fill,
                                    &linear_by_bits<PortableDigits>};

}  // namespace mixq
