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

namespace {

constexpr int COLUMNS = 16;                        // of a lane
constexpr int BYTES = COLUMNS * X_BITS / 8;        // of a row of x that a lane reads
constexpr int WORDS = (BYTES + 3) / 4;             // that hold them
constexpr int TRANSPOSED = BYTES < 4 ? BYTES : 4;  // bytes of a word
constexpr int CODES = 8 / X_BITS;                  // of a byte
constexpr int UNITS = BYTES / UNIT;
constexpr bool ANYWHERE = UNIT == 1 && BYTES >= 4;
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

// left * right + addend, of signed or unsigned numbers. NVRTC compiles this form to one instruction, and C++ or mad.wide
// to three to five.
__device__ __forceinline__ void multiply_add(int left, int right, long long addend, unsigned& lower, int& upper) {
#ifdef EMULATED
    const long long result = static_cast<long long>(left) * right + addend;
    lower = static_cast<unsigned>(result);
    upper = static_cast<int>(result >> 32);
#else
    asm("{\n\t"
        ".reg .u32 low, high;\n\t"
        "mov.b64 {low, high}, %4;\n\t"
        "mad.lo.cc.u32 %0, %2, %3, low;\n\t"
        "madc.hi.s32 %1, %2, %3, high;\n\t"
        "}"
        : "=r"(lower), "=r"(upper)
        : "r"(left), "r"(right), "l"(addend));
#endif
}
__device__ __forceinline__ unsigned long long multiply_add(unsigned left, unsigned right, unsigned long long addend) {
#ifdef EMULATED
    return static_cast<unsigned long long>(left) * right + addend;
#else
    unsigned long long result;
    asm("{\n\t"
        ".reg .u32 low, high;\n\t"
        "mov.b64 {low, high}, %3;\n\t"
        "mad.lo.cc.u32 low, %1, %2, low;\n\t"
        "madc.hi.u32 high, %1, %2, high;\n\t"
        "mov.b64 %0, {low, high};\n\t"
        "}"
        : "=l"(result)
        : "r"(left), "r"(right), "l"(addend));
    return result;
#endif
}

// Where a lane's columns lie in x.
struct Place {
    unsigned long long first;  // address, in row 0
    unsigned row_bytes;
    int left;  // bytes of a row from there on

    __device__ __forceinline__ Place(const Arguments& a, int lane) : row_bytes(static_cast<unsigned>(a.row_bytes)) {
        const int begin = (blockIdx.y * LANES + lane) * BYTES;
        const int start = begin < a.row_bytes ? begin : 0;  // what lies behind the row is not written
        first = reinterpret_cast<unsigned long long>(a.x + start);
        left = static_cast<int>(a.row_bytes) - start;
    }

    __device__ __forceinline__ void load(int row, unsigned (&words)[WORDS]) const {
        const unsigned long long address = multiply_add(static_cast<unsigned>(row), row_bytes, first);
        if (ANYWHERE) {
            // Loads aligned words. Each holds a byte of the row, so that reading it never faults.
            const unsigned skew = address % 4;
            const auto* from = reinterpret_cast<const unsigned*>(address - skew);
            const int last = (static_cast<int>(skew) + left - 1) / 4;
            unsigned loaded = __ldg(from);
#pragma unroll
            for (int word = 0; word < WORDS; ++word) {
                const unsigned next = __ldg(from + min(word + 1, last));
                words[word] = __funnelshift_r(loaded, next, 8 * skew);
                loaded = next;
            }
            return;
        }
        using Type = typename Unit<UNIT>::type;
        const auto* from = reinterpret_cast<const Type*>(address);
#pragma unroll
        for (int word = 0; word < WORDS; ++word) words[word] = 0;
#pragma unroll
        for (int unit = 0; unit < UNITS; ++unit)
            unpack(__ldg(from + (unit * UNIT < left ? unit : 0)), unit * UNIT, words);
    }
};

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
