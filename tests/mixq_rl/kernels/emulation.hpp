// A GPU's blocks and warps on a CPU, one thread at a time: slow, and enough to run the CUDA C++ of the kernels in tests.
//
// Every thread of a block is a fibre. A warp's fibres take turns from one instruction that joins them to the next, as the
// threads of a warp do that all go the same way.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#define EMULATED
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads, blocks)
#define __shared__ static

using std::max;
using std::min;

struct uint2 { unsigned x, y; };
struct uint4 { unsigned x, y, z, w; };
struct int4 { int x, y, z, w; };
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }

struct Index { unsigned x = 0, y = 0, z = 0; };
inline Index threadIdx, blockIdx, gridDim;

namespace emulation {

enum class State { running, joins_warp, joins_block, done };

struct Fibre {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(256 * 1024);
    State state = State::running;
    unsigned turn = 0;
};

inline std::vector<Fibre> fibres;
inline ucontext_t scheduler;
inline unsigned current;
inline int shown[2][1024];  // what each thread shows to its warp, in this turn and the last
inline void (*body)();

inline void wait(State state) {
    fibres[current].state = state;
    swapcontext(&fibres[current].context, &scheduler);
}

inline void enter() {
    body();
    fibres[current].state = State::done;
    swapcontext(&fibres[current].context, &scheduler);
}

inline bool step(unsigned first, unsigned last) {  // false: none of these threads can go on alone
    bool moved = false;
    for (unsigned thread = first; thread < last; ++thread) {
        Fibre& fibre = fibres[thread];
        if (fibre.state == State::joins_block || fibre.state == State::done) continue;
        fibre.state = State::running;
        current = thread;
        threadIdx.x = thread;
        swapcontext(&scheduler, &fibre.context);
        moved = true;
    }
    return moved;
}

inline void run_block(unsigned threads) {
    fibres.resize(threads);
    for (Fibre& fibre : fibres) {
        getcontext(&fibre.context);
        fibre.context.uc_stack.ss_sp = fibre.stack.data();
        fibre.context.uc_stack.ss_size = fibre.stack.size();
        fibre.context.uc_link = &scheduler;
        fibre.state = State::running;
        fibre.turn = 0;
        makecontext(&fibre.context, enter, 0);
    }
    for (bool unfinished = true; unfinished;) {
        unfinished = false;
        for (unsigned warp = 0; warp < threads; warp += 32)
            while (step(warp, warp + 32)) {}
        for (Fibre& fibre : fibres)
            if (fibre.state == State::joins_block) {
                fibre.state = State::running;
                unfinished = true;
            }
    }
}

// Shows a value to the warp and returns what another of its threads shows.
inline int exchange(int value, unsigned from) {
    const unsigned turn = fibres[current].turn++ % 2, me = current;
    shown[turn][me] = value;
    wait(State::joins_warp);
    return shown[turn][me / 32 * 32 + from];
}

}  // namespace emulation

template <class Value>
Value __shfl_sync(unsigned, Value value, int from, int width = 32) {
    const unsigned lane = emulation::current % 32;
    return static_cast<Value>(emulation::exchange(static_cast<int>(value), lane / width * width + from % width));
}
template <class Value>
Value __shfl_xor_sync(unsigned, Value value, int distance) {
    return static_cast<Value>(emulation::exchange(static_cast<int>(value), emulation::current % 32 ^ distance));
}
inline void __syncwarp() { emulation::exchange(0, 0); }
inline void __syncthreads() { emulation::wait(emulation::State::joins_block); }
inline void __threadfence() {}

template <class Value>
Value __ldg(const Value* from) {
    if (reinterpret_cast<std::uintptr_t>(from) % sizeof(Value)) std::abort();  // a GPU faults
    return *from;
}
template <class Value>
Value __ldcg(const Value* from) { return *from; }
inline int atomicAdd(int* to, int value) {
    const int before = *to;
    *to += value;
    return before;
}

inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
    const std::uint64_t bytes = static_cast<std::uint64_t>(high) << 32 | low;
    unsigned result = 0;
    for (int place = 0; place < 4; ++place)
        result |= static_cast<unsigned>(bytes >> ((selector >> (4 * place) & 7) * 8) & 255) << (8 * place);
    return result;
}

inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return static_cast<unsigned>((static_cast<std::uint64_t>(high) << 32 | low) >> (shift & 31));
}

inline int emulated_dot(unsigned x, unsigned weight, int sum, bool x_signed, bool weight_signed) {
    for (int place = 0; place < 4; ++place) {
        const int left = x >> (8 * place) & 255, right = weight >> (8 * place) & 255;
        sum += (x_signed ? static_cast<signed char>(left) : left) *
               (weight_signed ? static_cast<signed char>(right) : right);
    }
    return sum;
}
