// Reading rows of x and adding up their products: the first part of the program, before result.cuh and aggregate.cu.

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

}  // namespace
