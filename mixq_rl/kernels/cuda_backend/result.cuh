// From sums to the result: int32, or requantized and packed. The second part of the program, before aggregate.cu.

namespace {

template <int BITS>
__device__ __forceinline__ void store_packed(const Arguments& a, const int (&codes)[COLUMNS], int row, int first) {
    constexpr int SIZE = COLUMNS * BITS / 8, PER_WORD = 32 / BITS, HELD = (SIZE + 3) / 4;
    unsigned words[HELD];
#pragma unroll
    for (int word = 0; word < HELD; ++word) {
        if (BITS == 8) {
            const int* code = codes + word * 4;
            words[word] = __byte_perm(__byte_perm(code[0], code[1], 0x0040), __byte_perm(code[2], code[3], 0x0040), 0x5410);
            continue;
        }
        words[word] = 0;
#pragma unroll
        for (int place = 0; place < PER_WORD; ++place)  // a sum, not an or: one instruction multiplies and adds
            if (word * PER_WORD + place < COLUMNS)
                words[word] += static_cast<unsigned>(codes[word * PER_WORD + place]) << (place * BITS);
    }
    const long long begin = static_cast<long long>(first) * BITS / 8;
    unsigned char* to = static_cast<unsigned char*>(a.out) + row * a.out_row_bytes + begin;
    if (a.out_aligned) {
        if (SIZE == 2) *reinterpret_cast<unsigned short*>(to) = static_cast<unsigned short>(words[0]);
        if (SIZE == 4) *reinterpret_cast<unsigned*>(to) = words[0];
        if (SIZE == 8) *reinterpret_cast<uint2*>(to) = make_uint2(words[0], words[1 % HELD]);
#pragma unroll
        for (int at = 0; at + 16 <= SIZE; at += 16) {
            const int word = at / 4;
            reinterpret_cast<uint4*>(to)[at / 16] =
                make_uint4(words[word], words[(word + 1) % HELD], words[(word + 2) % HELD], words[(word + 3) % HELD]);
        }
        return;
    }
    const long long left = a.out_row_bytes - begin;
#pragma unroll
    for (int byte = 0; byte < SIZE; ++byte)
        if (byte < left) to[byte] = static_cast<unsigned char>(words[byte / 4] >> (byte % 4 * 8));
}

__device__ __forceinline__ void store_sums(const Arguments& a, const int (&sums)[COLUMNS], int row, int first) {
    int* to = static_cast<int*>(a.out) + static_cast<long long>(row) * a.columns + first;
    if (a.out_aligned) {
#pragma unroll
        for (int column = 0; column < COLUMNS; column += 4)
            if (first + column < a.columns)
                *reinterpret_cast<int4*>(to + column) =
                    make_int4(sums[column], sums[column + 1], sums[column + 2], sums[column + 3]);
        return;
    }
#pragma unroll
    for (int column = 0; column < COLUMNS; ++column)
        if (first + column < a.columns) to[column] = sums[column];
}

// Codes count from here: bytes hold the integers themselves, smaller codes are 0, 1, 2, ...
__device__ __forceinline__ int origin(const Arguments& a) { return a.out_bits == 8 ? 0 : a.lowest; }

// What is added to a product with the bias: half a step, so that the shift rounds, and what makes the result a code.
__device__ __forceinline__ long long rounding(const Arguments& a) {
    if (a.is_sign) return 0;
    return (1ll << (a.shift - 1)) + (static_cast<long long>(a.zero_point - origin(a)) << a.shift);
}

// The code of a product with bias and rounding, half to even.
__device__ __forceinline__ int exact_code(const Arguments& a, long long product) {
    if (a.is_sign) return product >= 0;
    long long code = product >> a.shift;
    const bool tie = (product & ((1ll << a.shift) - 1)) == 0;
    if (tie && ((code - a.zero_point + origin(a)) & 1)) --code;
    const long long lowest = a.lowest - origin(a), highest = a.highest - origin(a);
    return static_cast<int>(min(max(code, lowest), highest));
}

// Computes the codes of a lane's sums, for a scale below 2^31 and a shift of 32 or more: the codes lie in the upper 32
// bits of the products. Returns false if a product may lie halfway between two codes; then the codes may be wrong.
__device__ __forceinline__ bool quick_codes(
    const Arguments& a, const int (&sums)[COLUMNS], int factor, int lane, const long long* addend, int (&codes)[COLUMNS]) {
    const int shift = a.shift - 32, lowest = a.lowest - origin(a), highest = a.highest - origin(a);
    unsigned lower, fraction = ALL;  // the least fraction of all columns, by its upper 32 bits
    int upper;
    if (a.is_sign) {
#pragma unroll
        for (int column = 0; column < COLUMNS; ++column) {
            multiply_add(sums[column], factor, addend[column * LANES + lane], lower, upper);
            codes[column] = upper >= 0;
        }
        return true;
    }
#pragma unroll
    for (int column = 0; column < COLUMNS; ++column) {
        multiply_add(sums[column], factor, addend[column * LANES + lane], lower, upper);
        codes[column] = min(max(upper >> shift, lowest), highest);
        fraction = min(fraction, __funnelshift_r(lower, static_cast<unsigned>(upper), shift));
    }
    return fraction != 0;
}

__device__ __forceinline__ void write(
    const Arguments& a, const int (&sums)[COLUMNS], int row, int row_scale, int first, int lane,
    const long long* addend) {
    if (a.out_bits == 0) {
        store_sums(a, sums, row, first);
        return;
    }
    const auto with_row = [&](long long scale) {
        return a.row == nullptr ? scale : static_cast<long long>(row_scale) * scale >> a.row_shift;
    };
    const long long scale = with_row(__ldg(a.multiplier));
    int codes[COLUMNS];
    const bool quick = !a.per_column && a.shift >= 32 && scale >> 31 == 0;
    if (!quick || !quick_codes(a, sums, static_cast<int>(scale), lane, addend, codes)) {
#pragma unroll
        for (int column = 0; column < COLUMNS; ++column) {
            const int place = min(first + column, a.columns - 1);
            const long long factor = a.per_column ? with_row(__ldg(a.multiplier + place)) : scale;
            codes[column] = exact_code(a, sums[column] * factor + addend[column * LANES + lane]);
        }
    }
    if (first + COLUMNS > a.columns) {
#pragma unroll
        for (int column = 0; column < COLUMNS; ++column)
            if (first + column >= a.columns) codes[column] = 0;
    }
    if (a.out_bits == 8) store_packed<8>(a, codes, row, first);
    if (a.out_bits == 4) store_packed<4>(a, codes, row, first);
    if (a.out_bits == 2) store_packed<2>(a, codes, row, first);
    if (a.out_bits == 1) store_packed<1>(a, codes, row, first);
}

}  // namespace
