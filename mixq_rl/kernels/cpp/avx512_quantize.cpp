// Quantization of features with AVX-512: sixteen entries at a time.
#include "engine.hpp"

#if defined(MIXQ_X86)

// The standard's headers come first: what they define may be shared with code for processors that know less.
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

#if defined(_OPENMP)
#include <omp.h>
#endif

#define MIXQ_INLINE __attribute__((always_inline))
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq")
#endif

#include "avx512_quantize.hpp"

namespace mixq {

const Quantize avx512_quantize = &quantize<Avx512Quantize>;

}  // namespace mixq

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // MIXQ_X86
