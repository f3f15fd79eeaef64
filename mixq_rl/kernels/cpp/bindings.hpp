// Parts of the Python module mixq_rl.kernels._cpu that have a source file of their own.
#pragma once

#include <pybind11/pybind11.h>

namespace mixq {

void bind_dequantize(pybind11::module_& module);
void bind_direct(pybind11::module_& module);
void bind_edges(pybind11::module_& module);
void bind_pipeline(pybind11::module_& module);
void bind_quantize(pybind11::module_& module);

}  // namespace mixq
