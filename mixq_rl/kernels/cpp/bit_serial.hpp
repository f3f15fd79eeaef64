// Products of few bits: operands are split into digits of one or two bits (0 <= x = sum of X_i * 2^(d * i)), and a product
// is a sum over pairs of digits, which `Isa` counts or looks up for many rows and columns at a time.
//
// `Isa` supplies, beside what rows.hpp needs of it:
//   digits(x_bits, weight_bits)   see Digits
//   Lane                          what holds the digits of one group of a column
//   kVector, kTileRows, kTileColumns, lane_of(column)
//   add(...)                      adds the products of kTileRows rows and up to kTileColumns columns, times 2^shift
#pragma once

#include "linear.hpp"

namespace mixq {
namespace {

// Bits of a digit of x and of the weight; how many rows of the weight form a group, and how many groups a period. Rows
// past the last one, up to the end of a period, are 0.
struct Digits {
    int x, weight, group, period;
};

// Row a, entry b: the sum of the products of the digits of a and b, numbers of kBits bits.
template <int kBits>
struct DigitProducts {
    static constexpr int kSide = 1 << kBits;

    explicit constexpr DigitProducts(int digit) : entry() {
        for (int index = 0; index < kSide * kSide; ++index) {
            for (int place = 0; place < kBits; place += digit) {
                const int mask = (1 << digit) - 1;
                entry[index] += (index >> kBits >> place & mask) * (index >> place & mask);
            }
        }
    }

    alignas(64) uint8_t entry[kSide * kSide];
};

// The lowest kDigit bits of each kBits bits, side by side.
template <int kBits, int kDigit>
uint64_t every(uint64_t word) {
    if constexpr (kBits == kDigit) return word;
    constexpr uint64_t kAll = ~uint64_t{0};
    word &= kAll / ((uint64_t{1} << kBits) - 1) * ((uint64_t{1} << kDigit) - 1);
    for (int run = kDigit, apart = kBits; apart < 64; run *= 2, apart *= 2) {
        const uint64_t ones = (uint64_t{1} << 2 * run) - 1;
        word = (word | word >> (apart - run)) & (apart == 32 ? ones : kAll / ((uint64_t{1} << 2 * apart) - 1) * ones);
    }
    return word;
}

template <int kBits>
int32_t sum_of_codes(uint64_t word) {
    if (kBits == 1) word -= (word >> 1) & 0x5555555555555555u;
    if (kBits <= 2) word = (word & 0x3333333333333333u) + ((word >> 2) & 0x3333333333333333u);
    word = (word & 0x0F0F0F0F0F0F0F0Fu) + ((word >> 4) & 0x0F0F0F0F0F0F0F0Fu);
    return static_cast<int32_t>((word * 0x0101010101010101u) >> 56);
}

// Splits a row into its planes of digits, zeros past the last column. Returns the sum of its codes.
template <int kBits, int kDigit>
int32_t split_row(const uint8_t* row, int64_t columns, int64_t stride, uint8_t* planes) {
    constexpr int64_t kCodes = 64 / kBits, kBytes = 8 * kDigit / kBits;
    const int64_t whole = columns / kCodes, left = columns % kCodes;
    int32_t sum = 0;
    const auto split = [&](uint64_t word, int64_t index) {
        sum += sum_of_codes<kBits>(word);
        for (int plane = 0; plane < kBits / kDigit; ++plane) {
            const uint64_t digits = every<kBits, kDigit>(word >> plane * kDigit);
            std::memcpy(planes + plane * stride + index * kBytes, &digits, kBytes);
        }
    };
    uint64_t word;
    for (int64_t i = 0; i < whole; ++i) {
        std::memcpy(&word, row + 8 * i, 8);
        split(word, i);
    }
    for (int plane = 0; plane < kBits / kDigit; ++plane) {
        std::fill(planes + plane * stride + whole * kBytes, planes + (plane + 1) * stride, uint8_t{0});
    }
    if (left > 0) {
        word = 0;
        std::memcpy(&word, row + 8 * whole, static_cast<size_t>((left * kBits + 7) / 8));
        split(word & ((uint64_t{1} << left * kBits) - 1), whole);
    }
    return sum;
}

inline int32_t split_row(const Matrix& x, int64_t row, int digit, int64_t stride, uint8_t* planes) {
    const uint8_t* place = x.data + row * x.row_bytes;
    switch (x.bits * 8 + digit) {
        case 1 * 8 + 1: return split_row<1, 1>(place, x.columns, stride, planes);
        case 2 * 8 + 1: return split_row<2, 1>(place, x.columns, stride, planes);
        case 2 * 8 + 2: return split_row<2, 2>(place, x.columns, stride, planes);
        case 4 * 8 + 1: return split_row<4, 1>(place, x.columns, stride, planes);
        case 4 * 8 + 2: return split_row<4, 2>(place, x.columns, stride, planes);
        default: return split_row<4, 4>(place, x.columns, stride, planes);
    }
}

// Where a weight's digits lie: strips of kTileColumns columns (of as many vectors as are left for the last), one after
// the other. A strip has planes, planes have groups of rows, and groups have the lanes of the strip's columns. Behind
// them are the sums of the columns, of integers with their offset.
template <class Isa>
struct Layout {
    using Lane = typename Isa::Lane;

    Layout(const Matrix& weight, int x_bits)
        : digits(Isa::digits(x_bits, weight.bits)),
          columns(weight.columns),
          width((columns + Isa::kVector - 1) / Isa::kVector * Isa::kVector),
          planes(weight.bits / digits.weight),
          groups((weight.rows + digits.group * digits.period - 1) / (digits.group * digits.period) * digits.period) {}

    int64_t lanes() const { return width * planes * groups; }
    int64_t strip_width(int64_t first) const { return std::min<int64_t>(Isa::kTileColumns, width - first); }
    // Where a plane begins in the strip from column `first` on.
    int64_t plane(int64_t first, int index) const { return (first * planes + index * strip_width(first)) * groups; }

    static int64_t bytes(const Matrix& weight, int x_bits) {
        return Layout(weight, x_bits).lanes() * static_cast<int64_t>(sizeof(Lane)) + weight.columns * 4;
    }

    static void fill(const Matrix& weight, int x_bits, uint8_t* data, int threads) {
        const Layout layout(weight, x_bits);
        Lane* lanes = reinterpret_cast<Lane*>(data);
        int32_t* sums = reinterpret_cast<int32_t*>(lanes + layout.lanes());
        if (weight.rows * weight.columns < kSerialWork) threads = 1;
        const Scratch<int8_t> decoded(layout.columns, threads);
        const Scratch<int32_t> partial(layout.columns, threads);
        std::fill_n(lanes, layout.lanes(), Lane{0});
        std::fill_n(partial.get(), partial.stride * threads, 0);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
        for (int64_t group = 0; group < layout.groups; ++group) {
            layout.fill_group(weight, group, decoded.get(this_thread()), partial.get(this_thread()), lanes);
        }
        for (int64_t n = 0; n < layout.columns; ++n) {
            int32_t total = 0;
            for (int thread = 0; thread < threads; ++thread) total += partial.get(thread)[n];
            sums[n] = weight.step * total + static_cast<int32_t>(weight.rows) * weight.offset;
        }
    }

    void fill_group(Matrix weight, int64_t group, int8_t* codes, int32_t* sums, Lane* lanes) const {
        weight.step = 1, weight.offset = 0;
        const int64_t begin = group * digits.group, end = std::min(begin + digits.group, weight.rows);
        for (int64_t k = begin; k < end; ++k) {
            decode_row(weight, k, codes);
            for (int64_t n = 0; n < columns; ++n) sums[n] += codes[n];
            for (int64_t first = 0; first < columns; first += Isa::kTileColumns) {
                const int64_t strip = strip_width(first), count = std::min(strip, columns - first);
                for (int j = 0; j < planes; ++j) {
                    Lane* target = lanes + plane(first, j) + group * strip;
                    const int mask = (1 << digits.weight) - 1, place = static_cast<int>(k - begin) * digits.weight;
                    for (int64_t n = 0; n < count; ++n) {
                        const Lane digit = static_cast<Lane>((codes[first + n] >> j * digits.weight) & mask);
                        Lane& lane = target[Isa::lane_of(n)];
                        lane = static_cast<Lane>(lane | digit << place);
                    }
                }
            }
        }
    }

    Digits digits;
    int64_t columns, width, planes, groups;
};

// What Isa::add needs to know of the digits of a strip's columns, and of kTileRows rows.
template <class Lane>
struct Strip {
    const uint8_t* const* rows;  // of x, each the digits of a plane, the first in the lowest bits
    const Lane* lanes;
    int64_t groups;
    int vectors;
    int shift;
    int x_digit, weight_digit;
};

template <class Isa>
void linear_by_bits(const Matrix& x, const Matrix& weight, const uint8_t* data, const Output& out, int threads) {
    if (x.rows == 0 || weight.columns == 0) return;
    if (x.rows * x.columns * weight.columns < kSerialWork) threads = 1;
    const Layout<Isa> layout(weight, x.bits);
    const Digits digits = layout.digits;
    const auto* lanes = reinterpret_cast<const typename Isa::Lane*>(data);
    const int32_t* column_sums = reinterpret_cast<const int32_t*>(lanes + layout.lanes());
    const Scratch<int32_t> base(layout.columns);
    for (int64_t n = 0; n < layout.columns; ++n) base.get()[n] = x.offset * column_sums[n];
    const typename Isa::Rescaling rescaling(out.rescale, layout.columns);
    const int planes = x.bits / digits.x;
    const int64_t stride = (layout.groups * digits.group * digits.x + 63) / 64 * 8;
    const int64_t blocks = (x.rows + Isa::kTileRows - 1) / Isa::kTileRows;
    const int64_t batch = std::max<int64_t>(1, std::min<int64_t>(8, blocks / (8 * threads)));
    const Scratch<uint8_t> split(Isa::kTileRows * planes * stride, threads);
    const Scratch<int32_t> products(Isa::kTileRows * layout.width, threads), made(layout.columns, threads);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        uint8_t* own = split.get(this_thread());
        int32_t* tile = products.get(this_thread());
#pragma omp for schedule(dynamic, batch) nowait
        for (int64_t block = 0; block < blocks; ++block) {
            const int64_t begin = block * Isa::kTileRows, count = std::min<int64_t>(Isa::kTileRows, x.rows - begin);
            int32_t row_sums[Isa::kTileRows];
            for (int64_t r = 0; r < count; ++r) {
                row_sums[r] = split_row(x, begin + r, digits.x, stride, own + r * planes * stride);
            }
            std::fill_n(tile, Isa::kTileRows * layout.width, 0);
            for (int64_t first = 0; first < layout.width; first += Isa::kTileColumns) {
                const int vectors = static_cast<int>(layout.strip_width(first) / Isa::kVector);
                for (int pair = 0; pair < planes * layout.planes; ++pair) {
                    const int i = pair % planes, j = pair / planes;
                    const uint8_t* rows[Isa::kTileRows];
                    for (int64_t r = 0; r < Isa::kTileRows; ++r) {
                        rows[r] = own + (std::min(r, count - 1) * planes + i) * stride;
                    }
                    Isa::add({rows, lanes + layout.plane(first, j), layout.groups, vectors,
                              i * digits.x + j * digits.weight, digits.x, digits.weight},
                             tile + first, layout.width);
                }
            }
            for (int64_t r = 0; r < count; ++r) {
                const Affine affine{x.step * weight.step, x.step * weight.offset * row_sums[r], base.get()};
                write_product<Isa>(tile + r * layout.width, affine, layout.columns, out, rescaling, x.rows, begin + r,
                                   made.get(this_thread()));
            }
        }
        if constexpr (Isa::kStreams) Isa::fence();
    }
}

}  // namespace
}  // namespace mixq
