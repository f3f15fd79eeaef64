// The standard's headers, which come before a target's instructions are switched on: what they define may be shared with
// code for processors that know less.
#pragma once

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
