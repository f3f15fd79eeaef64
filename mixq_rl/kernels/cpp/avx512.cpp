// The operations with AVX-512 VNNI: four neighbours (or four columns) to a vpdpbusd.
#include "engine.hpp"

#if defined(MIXQ_X86)

#include "target_headers.hpp"

// GCC takes a function that only fetches for one without effect, and drops calls of it that are not inlined.
#define MIXQ_INLINE __attribute__((always_inline))
#define MIXQ_TARGET "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target(MIXQ_TARGET))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#endif

#include "avx512_aggregate.hpp"
#include "avx512_linear.hpp"
#include "avx512_requantize.hpp"
#include "join.hpp"

namespace mixq {
namespace {

struct Avx512 : Avx512Aggregate, Avx512Linear, Avx512Requantize {};

}  // namespace

const Engine avx512{&linear<Avx512>, &aggregate<Avx512>, &join_rows<Avx512>};

}  // namespace mixq

#include "target_end.hpp"

#endif  // MIXQ_X86
