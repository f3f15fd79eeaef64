// The Python module mixq_rl.kernels._cpu: the operations on memory of torch's, on a chosen instruction set.
//
// Memory comes as addresses, because asking a tensor for one costs a tenth of making an array of it. Shapes, dtypes,
// strides and extents of storage have been checked by then (mixq_rl/kernels/library.py): nothing else may call this
// module. The indices of a graph are checked here.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings.hpp"
#include "engine.hpp"

namespace py = pybind11;

namespace mixq {
namespace {

struct Named {
    const char* name;
    const Engine* engine;
    const BitSerial* bit_serial;  // null: the processor lacks the instructions
};

// Fastest first.
std::vector<Named> supported() {
    std::vector<Named> engines;
#if defined(MIXQ_X86)
    __builtin_cpu_init();
    const bool counts = __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512vbmi");
    if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
        engines.push_back({"avx512", &avx512, counts ? &avx512_bit_serial : nullptr});
    }
    if (__builtin_cpu_supports("avx2")) engines.push_back({"avx2", &avx2, &avx2_bit_serial});
#endif
    engines.push_back({"portable", &portable, &portable_bit_serial});
    return engines;
}

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const Named& entry : supported()) names.emplace_back(entry.name);
    return names;
}

Matrix matrix(Address data, int64_t rows, int64_t columns, int bits, bool is_signed, int32_t step, int32_t offset) {
    const int64_t row_bytes = (columns * bits + 7) / 8;
    return {at<const uint8_t>(data), rows, columns, row_bytes, bits, is_signed && bits == 8, step, offset};
}

Rescale rescale(Address multiplier, int64_t multipliers, int shift, Address row, int row_shift, Address bias,
                int64_t zero_point, int64_t minimum, int64_t maximum, bool is_sign, int storage_bits) {
    const int64_t* first = at<const int64_t>(multiplier);
    const auto bounds = std::minmax_element(first, first + multipliers);
    const int64_t least = multipliers == 0 ? 0 : *bounds.first, largest = multipliers == 0 ? 0 : *bounds.second;
    if (least < 0 || largest >= int64_t{1} << 31) {
        throw std::invalid_argument("multipliers of a requantization are at least 0 and below 2^31");
    }
    return {first,      multipliers > 1, largest, shift,   at<const int32_t>(row), row_shift, at<const int64_t>(bias),
            zero_point, minimum,         maximum, is_sign, storage_bits};
}

Output output(Address data, int64_t columns, const std::optional<Rescale>& rescale) {
    if (!rescale) return {at<void>(data), columns * 4, nullptr};
    return {at<void>(data), (columns * rescale->storage_bits + 7) / 8, &*rescale};
}

void linear(const Engine& engine, const Matrix& x, const Matrix& weight, const std::optional<Rescale>& rescale,
            Address out, int threads) {
    engine.linear(x, weight, output(out, weight.columns, rescale), threads);
}

bool is_faster(const BitSerial& bits, const Matrix& x, const Matrix& weight) {
    return has_few_bits(x, weight) && bits.is_faster(x, weight);
}

int64_t layout_bytes(const BitSerial& bits, const Matrix& weight, int x_bits) {
    return bits.layout_bytes(weight, x_bits);
}

void lay_out(const BitSerial& bits, const Matrix& weight, int x_bits, Address layout, int threads) {
    bits.lay_out(weight, x_bits, at<uint8_t>(layout), threads);
}

void linear_by_bits(const BitSerial& bits, const Matrix& x, const Matrix& weight, Address layout,
                    const std::optional<Rescale>& rescale, Address out, int threads) {
    if (!has_few_bits(x, weight)) throw std::invalid_argument("operands have too many bits");
    bits.linear(x, weight, at<const uint8_t>(layout), output(out, weight.columns, rescale), threads);
}

bool aggregate(const Engine& engine, Address rowptr, int64_t rows, Address col, int64_t edges, Address weight,
               bool weight_signed, int32_t weight_zero_point, const Matrix& x, const std::optional<Rescale>& rescale,
               Address out, int threads) {
    const Graph graph{at<const int32_t>(rowptr), at<const int32_t>(col), at<const uint8_t>(weight), weight_signed,
                      weight_zero_point, rows, edges};
    return engine.aggregate(graph, x, output(out, x.columns, rescale), threads);
}

Named named(const std::string& name) {
    for (const Named& entry : supported()) {
        if (name == entry.name) return entry;
    }
    throw std::invalid_argument("instruction set " + name + " is not supported by this processor");
}

const Engine* engine(const std::string& name) { return named(name).engine; }

const BitSerial* bit_serial(const std::string& name) { return named(name).bit_serial; }

}  // namespace
}  // namespace mixq

PYBIND11_MODULE(_cpu, module) {
    using namespace mixq;
    const py::call_guard<py::gil_scoped_release> release;
    py::class_<Engine>(module, "Engine");
    py::class_<BitSerial>(module, "BitSerial");
    py::class_<Matrix>(module, "Matrix").def(py::init(&matrix));
    py::class_<Rescale>(module, "Rescale").def(py::init(&rescale));
    module.def("instruction_sets", &instruction_sets);
    module.def("engine", &engine, py::return_value_policy::reference);
    module.def("is_faster", &is_faster);
    module.def("bit_serial", &bit_serial, py::return_value_policy::reference);
    module.def("linear", &linear, release);
    module.def("layout_bytes", &layout_bytes);
    module.def("lay_out", &lay_out, release);
    module.def("linear_by_bits", &linear_by_bits, release);
    module.def("aggregate", &aggregate, release);
    bind_dequantize(module);
    bind_direct(module);
    bind_pipeline(module);
    bind_quantize(module);
    bind_edges(module);
}
