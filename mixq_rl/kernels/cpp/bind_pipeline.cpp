// Python's view of a pipeline; mixq_rl/kernels/pipeline.py checks what it is given, and keeps the memory alive.
#include <pybind11/pybind11.h>

#include "bindings.hpp"
#include "pipeline.hpp"

namespace mixq {
namespace {

void linear(Pipeline& pipeline, int source, int32_t step, int32_t offset, const Matrix& weight, Address layout,
            const Rescale& rescale, bool row_scaled) {
    pipeline.linear(source, step, offset, weight, at<const uint8_t>(layout), rescale, row_scaled);
}

void aggregate(Pipeline& pipeline, int source, int32_t step, int32_t offset, Address rowptr, int64_t rows, Address col,
               int64_t edges, Address weight, bool weight_signed, int32_t weight_zero_point, const Rescale& rescale) {
    const Graph graph{at<const int32_t>(rowptr), at<const int32_t>(col), at<const uint8_t>(weight), weight_signed,
                      weight_zero_point, rows, edges};
    pipeline.aggregate(source, step, offset, graph, rescale);
}

void join(Pipeline& pipeline, bool concatenates, int64_t columns, int64_t zero_point, int64_t minimum, int64_t maximum,
          bool is_sign, int storage_bits) {
    pipeline.join({nullptr, 0, concatenates, zero_point, minimum, maximum, is_sign, storage_bits}, columns);
}

void add_part(Pipeline& pipeline, Address bias, int shift) { pipeline.add_part(at<const int64_t>(bias), shift); }

void add_term(Pipeline& pipeline, int source, int32_t step, int32_t offset, Address multiplier, bool per_column) {
    pipeline.add_term(source, step, offset, at<const int64_t>(multiplier), per_column);
}

int run(Pipeline& pipeline, Address input, int64_t rows, Address row_scales, Address out, int threads) {
    return pipeline.run(at<const uint8_t>(input), rows, at<const int32_t>(row_scales), at<uint8_t>(out), threads);
}

}  // namespace

void bind_pipeline(pybind11::module_& module) {
    namespace py = pybind11;
    const py::call_guard<py::gil_scoped_release> release;
    const auto make = [](const Engine& engine, const BitSerial* bit_serial, int64_t columns, int bits, bool is_signed) {
        return std::make_unique<Pipeline>(engine, bit_serial, Storage{columns, bits, is_signed});
    };
    py::class_<Pipeline>(module, "Pipeline")
        .def(py::init(make))
        .def("linear", &linear)
        .def("aggregate", &aggregate)
        .def("join", &join)
        .def("add_part", &add_part)
        .def("add_term", &add_term)
        .def("rows_of", &Pipeline::rows_of)
        .def("memory", &Pipeline::memory)
        .def("run", &run, release);
}

}  // namespace mixq
