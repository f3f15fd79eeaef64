// What the integer kernels are held against: float32 with the same scheduling, and the fetching of rows by itself.
#include <algorithm>
#include <cstdint>
#include <cstring>

namespace {

constexpr int64_t kAhead = 32;
constexpr int64_t kChunksPerThread = 16;
constexpr int64_t kBlock = 128;

struct Problem {
    const int32_t* rowptr;
    const int32_t* col;
    const float* weight;
    const float* x;
    float* sums;
    int64_t rows, columns, edges;
};

int64_t chunk_begin(const Problem& problem, int64_t index, int64_t count) {
    const int64_t target = (problem.rows + problem.edges) * index / count;
    int64_t low = 0, high = problem.rows;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        problem.rowptr[middle] + middle < target ? low = middle + 1 : high = middle;
    }
    return low;
}

inline void fetch(const char* row, int64_t bytes) {
    for (int64_t line = 0; line < bytes; line += 64) __builtin_prefetch(row + line);
    __builtin_prefetch(row + bytes - 1);
}

// Columns first ... first + kWidth of a row's sums, which live in registers meanwhile.
template <int kWidth>
inline void sum_block(const Problem& problem, int64_t row, int64_t first) {
    float sum[kWidth] = {};
    for (int64_t e = problem.rowptr[row]; e < problem.rowptr[row + 1]; ++e) {
        if (e + kAhead < problem.edges) {
            const float* ahead = problem.x + problem.col[e + kAhead] * problem.columns + first;
            fetch(reinterpret_cast<const char*>(ahead), 4 * kWidth);
        }
        const float* source = problem.x + problem.col[e] * problem.columns + first;
        const float factor = problem.weight[e];
        for (int f = 0; f < kWidth; ++f) sum[f] += factor * source[f];
    }
    std::copy(sum, sum + kWidth, problem.sums + row * problem.columns + first);
}

}  // namespace

extern "C" {

// sums[i] = sum over the neighbours j of row i of weight_ij * x[j]
void float_aggregate(const int32_t* rowptr, const int32_t* col, const float* weight, const float* x, float* sums,
                     int64_t rows, int64_t columns, int threads) {
    const Problem problem{rowptr, col, weight, x, sums, rows, columns, rowptr[rows]};
    const int64_t chunks = threads * kChunksPerThread;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        const int64_t last = chunk_begin(problem, chunk + 1, chunks);
        for (int64_t row = chunk_begin(problem, chunk, chunks); row < last; ++row) {
            int64_t first = 0;
            for (; first + kBlock <= columns; first += kBlock) sum_block<kBlock>(problem, row, first);
            for (; first + 64 <= columns; first += 64) sum_block<64>(problem, row, first);
            for (; first + 16 <= columns; first += 16) sum_block<16>(problem, row, first);
            for (; first + 4 <= columns; first += 4) sum_block<4>(problem, row, first);
            for (; first < columns; ++first) sum_block<1>(problem, row, first);
        }
    }
}

// Reads the row of each edge, in the order in which an aggregation does, and nothing more: the ceiling.
uint64_t gather(const int32_t* col, const uint8_t* x, int64_t edges, int64_t row_bytes, int threads) {
    uint64_t all = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(^ : all)
    for (int64_t e = 0; e < edges; ++e) {
        if (e + 2 * kAhead < edges) fetch(reinterpret_cast<const char*>(x + col[e + 2 * kAhead] * row_bytes), row_bytes);
        const uint8_t* row = x + col[e] * row_bytes;
        int64_t b = 0;
        uint64_t sum = 0;
        for (; b + 8 <= row_bytes; b += 8) {
            uint64_t word;
            std::memcpy(&word, row + b, 8);
            sum ^= word;
        }
        for (; b < row_bytes; ++b) sum ^= row[b];
        all ^= sum;
    }
    return all;
}
}
