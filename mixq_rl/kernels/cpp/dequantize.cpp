// Integers to the real numbers that they stand for: each code is looked up.
#include <pybind11/pybind11.h>

#include "bindings.hpp"
#include "pages.hpp"
#include "rows.hpp"

namespace mixq {
namespace {

template <class T, int kBits>
void look_up_row(const uint8_t* codes, int64_t columns, const T* table, T* out) {
    constexpr int kPerByte = 8 / kBits, kMask = (1 << kBits) - 1;
    for (int64_t f = 0; f < columns; ++f) out[f] = table[codes[f / kPerByte] >> (f % kPerByte * kBits) & kMask];
}

// (integer - zero point) * scale, in float64, then rounded to T; x.offset includes the zero point.
template <class T>
void dequantize(const Matrix& x, double scale, Address out, int threads) {
    T table[256];
    for (int code = 0; code < 256; ++code) {
        const int integer = x.is_signed ? static_cast<int8_t>(code) : code;
        table[code] = static_cast<T>((x.step * integer + x.offset) * scale);
    }
    T* target = at<T>(out);
    prefer_large_pages(target, static_cast<size_t>(x.rows * x.columns) * sizeof(T));
    if (x.rows * x.columns < kSerialWork) threads = 1;
    with_bits(x.bits, [&](auto bits) {
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
        for (int64_t row = 0; row < x.rows; ++row) {
            look_up_row<T, decltype(bits)::value>(x.data + row * x.row_bytes, x.columns, table, target + row * x.columns);
        }
    });
}

}  // namespace

void bind_dequantize(pybind11::module_& module) {
    const pybind11::call_guard<pybind11::gil_scoped_release> release;
    module.def("dequantize_float", &dequantize<float>, release);
    module.def("dequantize_double", &dequantize<double>, release);
}

}  // namespace mixq
