// What the integer operations take, and the table of functions that each instruction set fills.
#pragma once

#include <cstdint>

namespace mixq {

// Rows of integers step * u + offset; codes u of `bits` bits, the first in the lowest bits of a row's first byte.
struct Matrix {
    const uint8_t* data;
    int64_t rows;
    int64_t columns;
    int64_t row_bytes;
    int bits;        // of storage: 1, 2, 4, 8
    bool is_signed;  // 8 bits only: bytes are int8
    int32_t step;
    int32_t offset;
};

struct Graph {
    const int32_t* rowptr;
    const int32_t* col;
    const uint8_t* weight;  // null: all 1
    bool weight_signed;
    int32_t weight_zero_point;
    int64_t rows;
    int64_t edges;
};

// q = clamp(round((sum * M + bias) / 2^shift) + zero_point), half to even; M as in quantization/requantization.py.
struct Rescale {
    const int64_t* multiplier;  // at least 0 and below 2^31
    bool per_column;
    int64_t largest_multiplier;
    int shift;
    const int32_t* row;  // null: rows have no scale
    int row_shift;
    const int64_t* bias;  // null: none
    int64_t zero_point;
    int64_t minimum;
    int64_t maximum;
    bool is_sign;      // results are -1 and +1
    int storage_bits;  // of a result: 1, 2, 4, 8
};

// Where results go: int32 sums, or packed codes where `rescale` is given.
struct Output {
    void* data;
    int64_t row_bytes;
    const Rescale* rescale;
};

// Integers of a value times its fixed-point multiplier, below 2^31 in magnitude; x.offset includes the zero point.
struct Term {
    Matrix x;
    const int64_t* multiplier;
    bool per_column;
};

// round((sum of the terms + bias) / 2^shift), half to even.
struct Part {
    const Term* terms;
    int count;
    const int64_t* bias;  // null: none
    int shift;
};

// Parts, brought to the integers of one range, side by side or the greatest of them.
struct Join {
    const Part* parts;
    int count;
    bool concatenates;
    int64_t zero_point;
    int64_t minimum;
    int64_t maximum;
    bool is_sign;
    int storage_bits;
};

// Products of operands of few bits: bits of x times bits of the weight are kMostBits at most.
constexpr int kMostBits = 8;

inline bool has_few_bits(const Matrix& x, const Matrix& weight) {
    return x.bits < 8 && weight.bits < 8 && x.bits * weight.bits <= kMostBits;
}

struct BitSerial {
    bool (*is_faster)(const Matrix& x, const Matrix& weight);  // than Engine::linear, which takes all bits
    // A weight's bits as products with x read them: how many bytes that takes, and how they are written.
    int64_t (*layout_bytes)(const Matrix& weight, int x_bits);
    void (*lay_out)(const Matrix& weight, int x_bits, uint8_t* layout, int threads);
    void (*linear)(const Matrix& x, const Matrix& weight, const uint8_t* layout, const Output& out, int threads);
};

struct Engine {
    void (*linear)(const Matrix& x, const Matrix& weight, const Output& out, int threads);
    // Returns whether all indices of the graph were within bounds; if not, the output's values mean nothing.
    bool (*aggregate)(const Graph& graph, const Matrix& x, const Output& out, int threads);
    void (*join)(const Join& join, const Output& out, int64_t rows, int threads);
};

extern const Engine portable;
extern const BitSerial portable_bit_serial;
#if defined(__x86_64__) && defined(__GNUC__)
#define MIXQ_X86 1
extern const Engine avx2;
extern const BitSerial avx2_bit_serial;
extern const Engine avx512;
extern const BitSerial avx512_bit_serial;
#endif

}  // namespace mixq
