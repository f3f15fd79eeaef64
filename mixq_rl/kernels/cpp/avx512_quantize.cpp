// Quantization of features with AVX-512: sixteen entries at a time.
#include "engine.hpp"

#if defined(MIXQ_X86)

#include "target_headers.hpp"

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

#include "target_end.hpp"

#endif  // MIXQ_X86
