// Quantization of features with AVX2, which compilers make of loops.
#include "engine.hpp"

#if defined(MIXQ_X86)

// The standard's headers come first: what they define may be shared with code for processors that know less.
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <type_traits>

#if defined(_OPENMP)
#include <omp.h>
#endif

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#include "quantize.hpp"

namespace mixq {

const Quantize avx2_quantize = &quantize<QuantizeByLoops>;

}  // namespace mixq

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // MIXQ_X86
