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
//   UNIT      bytes that rows of x can be loaded by: 1, 2, 4, 8 or 16
//   WARPS     warps of a block
//   BLOCKS    blocks that must fit the registers of a multiprocessor

namespace {

constexpr int COLUMNS = 16;                        // of a lane
constexpr int BYTES = COLUMNS * X_BITS / 8;        // of a row of x that a lane reads
constexpr int WORDS = (BYTES + 3) / 4;             // that hold them
constexpr int TRANSPOSED = BYTES < 4 ? BYTES : 4;  // bytes of a word
constexpr int CODES = 8 / X_BITS;                  // of a byte
constexpr int UNITS = BYTES / UNIT;
constexpr int GROUPS = 32 / LANES;
constexpr int EDGES = 8;                                 // that a group has under way
constexpr int SHARE = LANES < EDGES ? LANES : EDGES;     // lanes that load the edges' indices and weights
constexpr int LOADS = EDGES / SHARE;                     // of each of them
constexpr unsigned ALL = 0xffffffffu;

struct Arguments {
    // Pieces of rows: chunks of hubs, then rows that a warp shares, then rows of few edges; each longest first.
    const int* target;  // the row, or the position of the hub
    const int* start;
    const int* stop;
    const int* hub_row;     // [hubs]
    const int* hub_chunks;  // [hubs]
    int* hub_sums;          // [hubs, columns], zeros
    int* hub_arrived;       // [hubs, blocks of columns], zeros
    const int* col;
    const unsigned char* weight;
    const unsigned char* x;
    void* out;
    const long long* multiplier;  // [1] or [columns]
    const int* row;               // [rows], or null
    const long long* bias;        // [columns], or null
    long long row_bytes;
    long long out_row_bytes;
    int chunks, shared, rows;  // numbers of the three kinds of pieces
    int columns;
    int step, offset;  // an integer of x is step * code + offset
    int per_column;    // whether there is a multiplier for each column
    int shift, row_shift, zero_point;
    int lowest, highest;  // of the result
    int out_bits;         // of storage: 1, 2, 4 or 8; 0: int32 sums
    int is_sign;          // whether the result is -1 or +1
    int out_aligned;      // whether rows of the result can be stored by vectors
};

template <int SIZE>
struct Unit;
template <>
struct Unit<1> { using type = unsigned char; };
template <>
struct Unit<2> { using type = unsigned short; };
template <>
struct Unit<4> { using type = unsigned; };
template <>
struct Unit<8> { using type = uint2; };
template <>
struct Unit<16> { using type = uint4; };

__device__ __forceinline__ void unpack(unsigned char unit, int at, unsigned (&words)[WORDS]) {
    words[at / 4] |= static_cast<unsigned>(unit) << (at % 4 * 8);
}
__device__ __forceinline__ void unpack(unsigned short unit, int at, unsigned (&words)[WORDS]) {
    words[at / 4] |= static_cast<unsigned>(unit) << (at % 4 * 8);
}
__device__ __forceinline__ void unpack(unsigned unit, int at, unsigned (&words)[WORDS]) { words[at / 4] = unit; }
__device__ __forceinline__ void unpack(uint2 unit, int at, unsigned (&words)[WORDS]) {
    words[at / 4] = unit.x;
    words[at / 4 + 1] = unit.y;
}
__device__ __forceinline__ void unpack(uint4 unit, int at, unsigned (&words)[WORDS]) {
    words[at / 4] = unit.x;
    words[at / 4 + 1] = unit.y;
    words[at / 4 + 2] = unit.z;
    words[at / 4 + 3] = unit.w;
}

__device__ __forceinline__ void load(const unsigned char* lane_row, const int (&place)[UNITS], unsigned (&words)[WORDS]) {
    using Type = typename Unit<UNIT>::type;
#pragma unroll
    for (int word = 0; word < WORDS; ++word) words[word] = 0;
#pragma unroll
    for (int unit = 0; unit < UNITS; ++unit)
        unpack(__ldg(reinterpret_cast<const Type*>(lane_row + place[unit])), unit * UNIT, words);
}

// The sum of four products of bytes, added to a sum.
__device__ __forceinline__ int dot(unsigned x, unsigned weight, int sum) {
#ifdef EMULATED
    return emulated_dot(x, weight, sum, X_SIGNED, WEIGHT == 2);
#else
    int result;
#if X_SIGNED && WEIGHT == 2
    asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(result) : "r"(x), "r"(weight), "r"(sum));
#elif X_SIGNED
    asm("dp4a.s32.u32 %0, %1, %2, %3;" : "=r"(result) : "r"(x), "r"(weight), "r"(sum));
#elif WEIGHT == 2
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(result) : "r"(x), "r"(weight), "r"(sum));
#else
    asm("dp4a.u32.u32 %0, %1, %2, %3;" : "=r"(result) : "r"(x), "r"(weight), "r"(sum));
#endif
    return result;
#endif
}

// Adds four edges' products; weights are four bytes, 0 for an edge that is not there.
__device__ __forceinline__ void accumulate(const unsigned (&edge)[4][WORDS], unsigned weights, int (&sums)[COLUMNS]) {
#pragma unroll
    for (int word = 0; word < WORDS; ++word) {
        const unsigned a = edge[0][word], b = edge[1][word], c = edge[2][word], d = edge[3][word];
        unsigned bytes[4];
        const unsigned low = __byte_perm(a, b, 0x5140), other_low = __byte_perm(c, d, 0x5140);
        bytes[0] = __byte_perm(low, other_low, 0x5410);
        bytes[1] = __byte_perm(low, other_low, 0x7632);
        if (TRANSPOSED > 2) {
            const unsigned high = __byte_perm(a, b, 0x7362), other_high = __byte_perm(c, d, 0x7362);
            bytes[2] = __byte_perm(high, other_high, 0x5410);
            bytes[3] = __byte_perm(high, other_high, 0x7632);
        }
#pragma unroll
        for (int byte = 0; byte < TRANSPOSED; ++byte)
#pragma unroll
            for (int code = 0; code < CODES; ++code) {
                const unsigned mask = X_BITS == 8 ? ALL : ((1u << X_BITS) - 1) * 0x01010101u << (code * X_BITS);
                int& sum = sums[(word * 4 + byte) * CODES + code];
                sum = dot(bytes[byte] & mask, weights, sum);
            }
    }
}

// The indices and weights of the next EDGES edges of a group, spread over its lanes.
struct Edges {
    int col[LOADS];
    unsigned weight[LOADS];

    __device__ __forceinline__ void load(const Arguments& a, int at, int stop, int lane) {
#pragma unroll
        for (int turn = 0; turn < LOADS; ++turn) {
            const int edge = at + turn * SHARE + lane % SHARE;
            const bool present = edge < stop;
            col[turn] = present ? __ldg(a.col + edge) : 0;
            weight[turn] = !present ? 0u : WEIGHT == 0 ? 1u : static_cast<unsigned>(__ldg(a.weight + edge));
        }
    }

    __device__ __forceinline__ int neighbour(int edge) const {
        const int held = col[edge / SHARE];
        return SHARE == 1 ? held : __shfl_sync(ALL, held, edge % SHARE, LANES);
    }

    // The weights of edges 0...3 and 4...7, four bytes each.
    __device__ __forceinline__ void pack(int lane, unsigned (&packed)[2]) const {
        if (SHARE == 8) {
            unsigned quad = weight[0] << (lane % 4 * 8);
            quad |= __shfl_xor_sync(ALL, quad, 1);
            quad |= __shfl_xor_sync(ALL, quad, 2);
            packed[0] = __shfl_sync(ALL, quad, 0, SHARE);
            packed[1] = __shfl_sync(ALL, quad, 4, SHARE);
            return;
        }
        packed[0] = packed[1] = 0;
#pragma unroll
        for (int turn = 0; turn < LOADS; ++turn) {
            const int edge = turn * SHARE + lane % SHARE;
            packed[turn * SHARE / 4] |= weight[turn] << (edge % 4 * 8);
        }
#pragma unroll
        for (int distance = 1; distance < SHARE; distance *= 2) {
            packed[0] |= __shfl_xor_sync(ALL, packed[0], distance);
            packed[1] |= __shfl_xor_sync(ALL, packed[1], distance);
        }
    }
};

template <int BITS>
__device__ __forceinline__ void store_packed(const Arguments& a, const unsigned (&codes)[COLUMNS], int row, int first) {
    constexpr int SIZE = COLUMNS * BITS / 8, PER_WORD = 32 / BITS, HELD = (SIZE + 3) / 4;
    unsigned words[HELD];
#pragma unroll
    for (int word = 0; word < HELD; ++word) {
        words[word] = 0;
#pragma unroll
        for (int place = 0; place < PER_WORD; ++place)
            if (word * PER_WORD + place < COLUMNS) words[word] |= codes[word * PER_WORD + place] << (place * BITS);
        if (BITS == 8) {  // bytes hold the integers themselves
            const unsigned lowest = (a.lowest & 255) * 0x01010101u;
            words[word] = ((words[word] & 0x7f7f7f7fu) + (lowest & 0x7f7f7f7fu)) ^ ((words[word] ^ lowest) & 0x80808080u);
        }
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

// What is added to a product with the bias: half a step, so that the shift rounds, and what makes the result a code.
__device__ __forceinline__ long long rounding(const Arguments& a) {
    if (a.is_sign) return 0;
    return (1ll << (a.shift - 1)) + (static_cast<long long>(a.zero_point - a.lowest) << a.shift);
}

// The code 0, 1, 2, ... of a product with bias and rounding, half to even.
__device__ __forceinline__ unsigned exact_code(const Arguments& a, long long product) {
    if (a.is_sign) return product >= 0;
    long long code = product >> a.shift;
    const bool tie = (product & ((1ll << a.shift) - 1)) == 0;
    if (tie && ((code - a.zero_point + a.lowest) & 1)) --code;
    return static_cast<unsigned>(min(max(code, 0ll), static_cast<long long>(a.highest - a.lowest)));
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
    unsigned codes[COLUMNS];
    bool exact = false;
    if (!a.per_column && a.shift >= 32 && scale >> 31 == 0) {
        // The code lies in the upper 32 bits; a product halfway between two of them has none below.
        const int factor = static_cast<int>(scale), shift = a.shift - 32, highest = a.highest - a.lowest;
        unsigned below = ALL;
#pragma unroll
        for (int column = 0; column < COLUMNS; ++column) {
            const long long product = static_cast<long long>(sums[column]) * factor + addend[column * LANES + lane];
            const int upper = static_cast<int>(product >> 32);
            codes[column] = a.is_sign ? upper >= 0 : min(max(upper >> shift, 0), highest);
            below = min(below, static_cast<unsigned>(product));
        }
        exact = below != 0;
    }
    if (!exact) {
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

// A warp's share of the work: a chunk of a hub, a row for all of its groups, or a row for each.
struct Piece {
    int start = 0, stop = 0, target = 0;
    bool live = false;

    __device__ __forceinline__ void load(const Arguments& a, int item, int group) {
        const int of_warps = a.chunks + a.shared;
        const int piece = item < of_warps ? item : of_warps + (item - of_warps) * GROUPS + group;
        live = piece < of_warps + a.rows;
        start = live ? __ldg(a.start + piece) : 0;
        stop = live ? __ldg(a.stop + piece) : 0;
        target = live ? __ldg(a.target + piece) : 0;
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
    int place[UNITS];
#pragma unroll
    for (int unit = 0; unit < UNITS; ++unit) {
        const int byte = blockIdx.y * LANES * BYTES + lane * BYTES + unit * UNIT;
        place[unit] = byte < a.row_bytes ? byte : 0;  // what lies behind the row is not written
    }

    // Warps go on from item to item; what the next one needs is on its way while this one is summed.
    const int of_warps = a.chunks + a.shared, items = of_warps + (a.rows + GROUPS - 1) / GROUPS;
    int item = blockIdx.x * WARPS + threadIdx.x / 32;
    Piece piece;
    piece.load(a, item, group);
    Edges edges;
    edges.load(a, piece.start + (item < of_warps ? group * EDGES : 0), piece.stop, lane);
    for (; item < items; item += gridDim.x * WARPS) {
        const bool is_chunk = item < a.chunks, is_shared = item < of_warps;
        const int stride = is_shared ? EDGES * GROUPS : EDGES;
        const int longest = __shfl_sync(ALL, piece.stop - piece.start, 0);  // a warp's first piece is its longest
        const int next_item = item + gridDim.x * WARPS;
        Piece next;
        next.load(a, next_item, group);
        int row_scale = 0;
        if (a.out_bits != 0 && a.row != nullptr && !is_chunk) row_scale = __ldg(a.row + piece.target);

        int sums[COLUMNS];
#pragma unroll
        for (int column = 0; column < COLUMNS; ++column) sums[column] = 0;
        int total = 0;
        int at = piece.start + (is_shared ? group * EDGES : 0);
        for (int done = 0; done < longest; done += stride) {
            unsigned weights[2];
            edges.pack(lane, weights);
            const bool more = is_shared || longest - done > 4;
            unsigned gathered[2][4][WORDS];
#pragma unroll
            for (int edge = 0; edge < 4; ++edge) {
                const unsigned neighbour = edges.neighbour(edge);
                load(a.x + neighbour * static_cast<unsigned long long>(a.row_bytes), place, gathered[0][edge]);
            }
            if (more) {
#pragma unroll
                for (int edge = 0; edge < 4; ++edge) {
                    const unsigned neighbour = edges.neighbour(4 + edge);
                    load(a.x + neighbour * static_cast<unsigned long long>(a.row_bytes), place, gathered[1][edge]);
                }
            }
            at += stride;
            if (done + stride < longest) edges.load(a, at, piece.stop, lane);
            accumulate(gathered[0], weights[0], sums);
            if (more) accumulate(gathered[1], weights[1], sums);
            total = dot(0x01010101u, weights[0], dot(0x01010101u, weights[1], total));
        }
        edges.load(a, next.start + (next_item < of_warps ? group * EDGES : 0), next.stop, lane);

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

        bool writes = piece.live && first < a.columns && (!is_shared || group == 0);
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
    }
}
