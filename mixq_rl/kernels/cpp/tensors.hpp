// Tensors, packed rows and requantizations of Python, read without Python code. Only what is plain is read: tensors of
// torch.Tensor itself, dense, contiguous, on a CPU, with all of their entries in memory. Of everything else the general
// way (mixq_rl/kernels/library.py) says what is wrong, or takes it.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

#include "engine.hpp"

namespace mixq {

// The farthest offset of integers, and zero point of edge weights, as in mixq_rl/kernels/arguments.py.
constexpr int64_t kFarthest = 1 << 10;

enum class Kind { int8, uint8, int32, int64, other };

struct Tensor {
    char* data = nullptr;
    Kind kind = Kind::other;
    int dims = 0;
    int64_t size[2] = {1, 1};

    int64_t entries() const { return size[0] * size[1]; }
    int64_t bytes() const { return entries() * (kind == Kind::int32 ? 4 : kind == Kind::int64 ? 8 : 1); }
    bool is_byte() const { return kind == Kind::int8 || kind == Kind::uint8; }
};

// Learns the types whose objects are read, and how torch tells where its tensors lie. Returns whether it does.
bool learn_types(const pybind11::object& tensor, const pybind11::object& packed_rows,
                 const pybind11::object& integer_range, const pybind11::object& fixed_point,
                 const pybind11::object& requantization);

// Each returns whether the object is plain, and of the shape that its name or arguments say.
bool read_tensor(PyObject* object, Tensor* tensor);
bool read_vector(PyObject* object, Kind kind, Tensor* tensor);
bool read_integer(PyObject* object, int64_t least, int64_t most, int64_t* integer);

// Bytes, or packed rows; `data` becomes the tensor that holds them.
bool read_matrix(PyObject* object, int64_t zero_point, Matrix* matrix, pybind11::object* data);

// A requantization of `rows` times `columns` sums, and the tensors that it points to; `row`: a FixedPoint or None.
struct Requantized {
    Rescale rescale;
    pybind11::object multiplier, bias, mantissa;
    bool is_signed;
};
bool read_requantization(PyObject* object, PyObject* row, int64_t rows, int64_t columns, Requantized* read);

}  // namespace mixq
