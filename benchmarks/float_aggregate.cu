// Sums over neighbours in floating point, scheduled as the integer kernel schedules its own: what integers alone are
// worth is their speed over this. HALF: float16 with sums in float32; otherwise float32.

namespace {

constexpr int VALUES = HALF ? 8 : 4;  // of 16 bytes
constexpr int GROUPS = 32 / LANES;
constexpr int EDGES = 8;
constexpr unsigned ALL = 0xffffffffu;

struct Arguments {
    const int *target, *start, *stop, *hub_row, *hub_chunks;
    float* hub_sums;
    int* hub_arrived;
    const int* col;
    const void* weight;
    const uint4* x;
    uint4* out;
    int row_vectors;  // of 16 bytes, in a row
    int chunks, shared, rows;
};

__device__ __forceinline__ float from_half(unsigned bits) {
    float value;
    asm("{ .reg .b16 h; cvt.u16.u32 h, %1; cvt.f32.f16 %0, h; }" : "=f"(value) : "r"(bits));
    return value;
}

__device__ __forceinline__ unsigned to_halves(float low, float high) {
    unsigned bits;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
}

__device__ __forceinline__ void accumulate(uint4 row, float weight, float (&sums)[VALUES]) {
    const unsigned words[4] = {row.x, row.y, row.z, row.w};
#pragma unroll
    for (int word = 0; word < 4; ++word) {
        if (HALF) {
            sums[2 * word % VALUES] += weight * from_half(words[word] & 0xffff);
            sums[(2 * word + 1) % VALUES] += weight * from_half(words[word] >> 16);
        } else {
            sums[word] += weight * __uint_as_float(words[word]);
        }
    }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(WARPS * 32) float_aggregate(const Arguments a) {
    const int warp = blockIdx.x * WARPS + threadIdx.x / 32;
    const int lane = threadIdx.x % LANES, group = threadIdx.x % 32 / LANES;
    const bool is_chunk = warp < a.chunks, is_shared = warp < a.chunks + a.shared;
    const int piece = is_shared ? warp : a.chunks + a.shared + (warp - a.chunks - a.shared) * GROUPS + group;
    const bool live = piece < a.chunks + a.shared + a.rows;
    const int start = live ? __ldg(a.start + piece) : 0, stop = live ? __ldg(a.stop + piece) : 0;
    const int longest = __shfl_sync(ALL, stop - start, 0);
    const int vector = blockIdx.y * LANES + lane;
    const uint4* x = a.x + (vector < a.row_vectors ? vector : 0);

    float sums[VALUES];
#pragma unroll
    for (int value = 0; value < VALUES; ++value) sums[value] = 0;
    const int stride = is_shared ? EDGES * GROUPS : EDGES;
    int at = start + (is_shared ? group * EDGES : 0);
    for (int done = 0; done < longest; done += stride, at += stride) {
        uint4 gathered[EDGES];
        float weight[EDGES];
#pragma unroll
        for (int edge = 0; edge < EDGES; ++edge) {
            const bool present = at + edge < stop;
            const unsigned neighbour = present ? __ldg(a.col + at + edge) : 0;
            weight[edge] = !present ? 0.f
                           : HALF   ? from_half(__ldg(static_cast<const unsigned short*>(a.weight) + at + edge))
                                    : __ldg(static_cast<const float*>(a.weight) + at + edge);
            gathered[edge] = __ldg(x + neighbour * static_cast<unsigned long long>(a.row_vectors));
        }
#pragma unroll
        for (int edge = 0; edge < EDGES; ++edge) accumulate(gathered[edge], weight[edge], sums);
    }
    if (is_shared) {
#pragma unroll
        for (int distance = LANES; distance < 32; distance *= 2)
#pragma unroll
            for (int value = 0; value < VALUES; ++value) sums[value] += __shfl_xor_sync(ALL, sums[value], distance);
    }
    const bool writes = live && vector < a.row_vectors && (!is_shared || group == 0);
    int row = live ? __ldg(a.target + piece) : 0;
    if (is_chunk) {
        const int hub = row;
        float* hub_sums = a.hub_sums + (static_cast<long long>(hub) * a.row_vectors + vector) * VALUES;
        if (writes)
#pragma unroll
            for (int value = 0; value < VALUES; ++value) atomicAdd(hub_sums + value, sums[value]);
        __threadfence();
        __syncwarp();
        int arrived = 0;
        if (threadIdx.x % 32 == 0) arrived = atomicAdd(a.hub_arrived + hub * gridDim.y + blockIdx.y, 1);
        if (__shfl_sync(ALL, arrived, 0) != __ldg(a.hub_chunks + hub) - 1) return;
        __threadfence();
        if (writes)
#pragma unroll
            for (int value = 0; value < VALUES; ++value) sums[value] = __ldcg(hub_sums + value);
        row = __ldg(a.hub_row + hub);
    }
    if (!writes) return;
    uint4 result;
    if (HALF)
        result = make_uint4(
            to_halves(sums[0], sums[1]), to_halves(sums[2], sums[3]), to_halves(sums[4 % VALUES], sums[5 % VALUES]),
            to_halves(sums[6 % VALUES], sums[7 % VALUES]));
    else
        result = make_uint4(
            __float_as_uint(sums[0]), __float_as_uint(sums[1]), __float_as_uint(sums[2]), __float_as_uint(sums[3]));
    a.out[static_cast<long long>(row) * a.row_vectors + vector] = result;
}
