// What the source files of the Python module mixq_rl.kernels._cpu share, and its parts that have a file of their own.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

namespace mixq {

// Where a tensor's memory begins: Python passes it as a number.
using Address = uintptr_t;

template <class T>
T* at(Address address) {
    return reinterpret_cast<T*>(address);
}

void bind_dequantize(pybind11::module_& module);
void bind_direct(pybind11::module_& module);
void bind_edges(pybind11::module_& module);
void bind_pipeline(pybind11::module_& module);
void bind_quantize(pybind11::module_& module);

}  // namespace mixq
