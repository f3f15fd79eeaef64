// Quantization of features in plain C++, and its functions in the Python module.
#include "quantize.hpp"

#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>

#include "bindings.hpp"
#include "pages.hpp"
#include "sparse_quantize.hpp"

namespace py = pybind11;

namespace mixq {

const Quantize portable_quantize = &quantize<QuantizeByLoops>;

namespace {

Quantization quantization(Address scale, bool per_column, bool by_row, double row_factor, int zero_point, int minimum,
                          int maximum, bool is_sign, int storage_bits) {
    return {at<const double>(scale), per_column, by_row,  row_factor,  zero_point,
            minimum,                 maximum,    is_sign, storage_bits};
}

// The instruction set is one of instruction_sets().
Quantize named(const std::string& instruction_set) {
#if defined(MIXQ_X86)
    if (instruction_set == "avx512") return avx512_quantize;
    if (instruction_set == "avx2") return avx2_quantize;
#endif
    if (instruction_set == "portable") return portable_quantize;
    throw std::invalid_argument("there is no instruction set " + instruction_set);
}

int quantize_dense(const std::string& instruction_set, Address data, int64_t rows, int64_t columns, int64_t stride,
                   bool is_double, const Quantization& how, Address out, Address mantissa, int threads) {
    const Features x{at<const void>(data), rows, columns, stride, is_double};
    prefer_large_pages(at<uint8_t>(out), static_cast<size_t>(rows * ((columns * how.storage_bits + 7) / 8)));
    return named(instruction_set)(x, how, at<uint8_t>(out), at<int32_t>(mantissa), threads);
}

template <class T, class Index>
int quantize_csr(Address begin, Address column, Address value, int64_t rows, int64_t columns, int64_t count,
                 const Quantization& how, Address out, Address mantissa, int threads) {
    const Entries<T, Index> x{at<const Index>(begin), at<const Index>(column), at<const T>(value), rows, columns, count};
    return quantize_sparse(x, how, at<uint8_t>(out), at<int32_t>(mantissa), threads);
}

// Where each row of sorted entries begins; returns whether they are sorted, and name rows that exist.
bool row_begins(Address row, int64_t count, int64_t rows, Address begin) {
    const int64_t* source = at<const int64_t>(row);
    int64_t* target = at<int64_t>(begin);
    int64_t reached = 0;
    target[0] = 0;
    for (int64_t entry = 0; entry < count; ++entry) {
        const int64_t own = read_once(source + entry);
        if (own < reached || own >= rows) return false;
        while (reached < own) target[++reached] = entry;
    }
    while (reached < rows) target[++reached] = count;
    return true;
}

}  // namespace

void bind_quantize(py::module_& module) {
    const py::call_guard<py::gil_scoped_release> release;
    py::class_<Quantization>(module, "Quantization").def(py::init(&quantization));
    module.attr("NOT_FINITE") = kNotFinite;
    module.attr("BEYOND") = kBeyond;
    module.attr("DISORDER") = kDisorder;
    module.def("quantize", &quantize_dense, release);
    module.def("quantize_csr_float_int32", &quantize_csr<float, int32_t>, release);
    module.def("quantize_csr_float_int64", &quantize_csr<float, int64_t>, release);
    module.def("quantize_csr_double_int32", &quantize_csr<double, int32_t>, release);
    module.def("quantize_csr_double_int64", &quantize_csr<double, int64_t>, release);
    module.def("row_begins", &row_begins, release);
}

}  // namespace mixq
