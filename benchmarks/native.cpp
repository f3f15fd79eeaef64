// What the integer kernels are held against: float32 with the same scheduling, and the fetching of rows by itself.
#include <algorithm>
#include <cstdint>

namespace {

constexpr int64_t kAhead = 32;
constexpr int64_t kChunksPerThread = 16;

int64_t chunk_begin(const int32_t* rowptr, int64_t rows, int64_t index, int64_t count) {
    const int64_t target = (rows + rowptr[rows]) * index / count;
    int64_t low = 0, high = rows;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        rowptr[middle] + middle < target ? low = middle + 1 : high = middle;
    }
    return low;
}

inline void fetch(const char* row, int64_t bytes) {
    for (int64_t line = 0; line < bytes; line += 64) __builtin_prefetch(row + line);
    __builtin_prefetch(row + bytes - 1);
}

}  // namespace

extern "C" {

// sums[i] = sum over the neighbours j of row i of weight_ij * x[j]
void float_aggregate(const int32_t* rowptr, const int32_t* col, const float* weight, const float* x, float* sums,
                     int64_t rows, int64_t columns, int threads) {
    const int64_t chunks = threads * kChunksPerThread, edges = rowptr[rows];
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        const int64_t last = chunk_begin(rowptr, rows, chunk + 1, chunks);
        for (int64_t row = chunk_begin(rowptr, rows, chunk, chunks); row < last; ++row) {
            float* target = sums + row * columns;
            std::fill_n(target, columns, 0.0f);
            for (int64_t e = rowptr[row]; e < rowptr[row + 1]; ++e) {
                if (e + kAhead < edges) fetch(reinterpret_cast<const char*>(x + col[e + kAhead] * columns), 4 * columns);
                const float* source = x + col[e] * columns;
                const float factor = weight[e];
                for (int64_t f = 0; f < columns; ++f) target[f] += factor * source[f];
            }
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
            __builtin_memcpy(&word, row + b, 8);
            sum ^= word;
        }
        for (; b < row_bytes; ++b) sum ^= row[b];
        all ^= sum;
    }
    return all;
}
}
