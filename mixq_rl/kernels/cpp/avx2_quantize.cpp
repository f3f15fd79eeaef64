// Quantization of features with AVX2, which compilers make of loops.
#include "engine.hpp"

#if defined(MIXQ_X86)

#include "target_headers.hpp"

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

#include "target_end.hpp"

#endif  // MIXQ_X86
