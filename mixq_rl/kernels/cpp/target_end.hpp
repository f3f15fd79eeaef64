// Ends the functions of a target; see target_headers.hpp. To be included several times.
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
