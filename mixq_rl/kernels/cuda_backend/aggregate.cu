// Sums over neighbours on integers, requantized before they leave the registers.
//
// A lane owns COLUMNS columns of a row, a group of LANES lanes all columns of a block of a row. Rows of few edges go one
// to a group; a row of more edges is shared by the groups of a warp; a hub is cut into chunks of edges, whose warps add
// up atomically, and the warp that adds last writes the row.
//
// Bytes of four edges are transposed, so that one instruction (dp4a) multiplies and adds all four. Codes of fewer than
// eight bits stay where they lie in their byte: the sums are too large by a power of two, which is taken off at the end.
//
// The compiler is given these definitions:
//   X_BITS    bits of a code of x: 1, 2, 4 or 8
//   X_SIGNED  whether bytes of x are signed (8 bits only)
//   WEIGHT    0: all weights are 1; 1: uint8; 2: int8
//   LANES     lanes of a group: 1, 2, 4, ..., 32
//   UNIT      bytes that rows of x can be loaded by: 2, 4, 8 or 16; 1: rows begin anywhere
//   WARPS     warps of a block
//   BLOCKS    blocks that must fit the registers of a multiprocessor

// The program is rows.cuh, result.cuh and this file, one after another.

namespace {

// A warp's share of the work: a chunk of a hub, a row for all of its groups, or a row for each.
struct Piece {
    int start, stop, target;  // target -1: there is no such piece

    __device__ __forceinline__ void load(const Arguments& a, int item, int group) {
        const int of_warps = a.chunks + a.shared;
        const int piece = item < of_warps ? item : of_warps + (item - of_warps) * GROUPS + group;
        const bool there = piece < of_warps + a.rows;
        start = there ? __ldg(a.start + piece) : 0;
        stop = there ? __ldg(a.stop + piece) : 0;
        target = there ? __ldg(a.target + piece) : -1;
    }

    // The first edge of a group: groups that share a row take turns.
    __device__ __forceinline__ int first_edge(const Arguments& a, int item, int group) const {
        return start + (item < a.chunks + a.shared ? group * EDGES : 0);
    }
};

}  // namespace

extern "C" __global__ void __launch_bounds__(WARPS * 32, BLOCKS) aggregate(const Arguments a) {
    // Column by column, so that the lanes of a group read neighbouring entries.
    __shared__ long long addend[COLUMNS * LANES];
    if (a.out_bits != 0) {
        for (int entry = threadIdx.x; entry < COLUMNS * LANES; entry += WARPS * 32) {
            const int column = (blockIdx.y * LANES + entry % LANES) * COLUMNS + entry / LANES;
            addend[entry] = rounding(a) + (a.bias != nullptr && column < a.columns ? __ldg(a.bias + column) : 0ll);
        }
        __syncthreads();
    }

    const int lane = threadIdx.x % LANES, group = threadIdx.x % 32 / LANES;
    const int first = (blockIdx.y * LANES + lane) * COLUMNS;
    const Place place(a, lane);

    // Warps go on from item to item. While one is summed the edges of the next are on their way, and the piece after it.
    const int of_warps = a.chunks + a.shared, items = of_warps + (a.rows + GROUPS - 1) / GROUPS;
    const int warps = gridDim.x * WARPS;
    int item = blockIdx.x * WARPS + threadIdx.x / 32;
    Piece piece, next;
    piece.load(a, item, group);
    next.load(a, item + warps, group);
    Edges edges;
    edges.load(a, piece.first_edge(a, item, group), piece.stop, lane);
    for (; item < items; item += warps) {
        const bool is_chunk = item < a.chunks, is_shared = item < of_warps;
        const int stride = is_shared ? EDGES * GROUPS : EDGES;
        const int longest = __shfl_sync(ALL, piece.stop - piece.start, 0);  // a warp's first piece is its longest
        const int next_edge = next.first_edge(a, item + warps, group);
        Piece after;
        after.load(a, item + 2 * warps, group);
        int row_scale = 0;
        if (a.out_bits != 0 && a.row != nullptr && !is_chunk && piece.target >= 0)
            row_scale = __ldg(a.row + piece.target);

        int sums[COLUMNS];
#pragma unroll
        for (int column = 0; column < COLUMNS; ++column) sums[column] = 0;
        int total = 0;
        int at = piece.first_edge(a, item, group);
        for (int done = 0; done < longest; done += stride) {
            unsigned weights[2];
            edges.pack(lane, weights);
            const bool more = is_shared || longest - done > 4;
            unsigned gathered[2][4][WORDS];
#pragma unroll
            for (int edge = 0; edge < 4; ++edge) place.load(edges.neighbour(edge), gathered[0][edge]);
            if (more) {
#pragma unroll
                for (int edge = 0; edge < 4; ++edge) place.load(edges.neighbour(4 + edge), gathered[1][edge]);
            }
            const bool goes_on = done + stride < longest;
            at += stride;
            edges.load(a, goes_on ? at : next_edge, goes_on ? piece.stop : next.stop, lane);
            accumulate(gathered[0], weights[0], sums);
            if (more) accumulate(gathered[1], weights[1], sums);
            total = dot(0x01010101u, weights[0], dot(0x01010101u, weights[1], total));
        }
        if (longest == 0) edges.load(a, next_edge, next.stop, lane);

        if (is_shared) {
#pragma unroll
            for (int distance = LANES; distance < 32; distance *= 2) {
#pragma unroll
                for (int column = 0; column < COLUMNS; ++column)
                    sums[column] += __shfl_xor_sync(ALL, sums[column], distance);
                total += __shfl_xor_sync(ALL, total, distance);
            }
        }
#pragma unroll
        for (int column = 0; column < COLUMNS; ++column)
            sums[column] = a.step * (sums[column] >> (column % CODES * X_BITS)) + a.offset * total;

        bool writes = piece.target >= 0 && first < a.columns && (!is_shared || group == 0);
        int row = piece.target;
        if (is_chunk) {
            const int hub = row;
            int* hub_sums = a.hub_sums + static_cast<long long>(hub) * a.columns;
            if (writes)
                for (int column = 0; column < COLUMNS; ++column)
                    if (first + column < a.columns) atomicAdd(hub_sums + first + column, sums[column]);
            __threadfence();
            __syncwarp();
            int arrived = 0;
            if (threadIdx.x % 32 == 0) arrived = atomicAdd(a.hub_arrived + hub * gridDim.y + blockIdx.y, 1);
            const bool last = __shfl_sync(ALL, arrived, 0) == __ldg(a.hub_chunks + hub) - 1;
            writes = writes && last;
            if (last) {
                __threadfence();
                if (writes)
#pragma unroll
                    for (int column = 0; column < COLUMNS; ++column)
                        sums[column] = first + column < a.columns ? __ldcg(hub_sums + first + column) : 0;
                row = __ldg(a.hub_row + hub);
                if (a.out_bits != 0 && a.row != nullptr) row_scale = __ldg(a.row + row);
            }
        }
        if (writes) write(a, sums, row, row_scale, first, lane, addend);
        piece = next;
        next = after;
    }
}
