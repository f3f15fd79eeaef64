// Direct calls of the operations: what mixq_rl/kernels/direct.py calls for plain tensors, in a microsecond or two.
//
// A call returns None if an argument is not plain (tensors.hpp), and then has done nothing.
#include <pybind11/pybind11.h>

#include "bindings.hpp"
#include "engine.hpp"
#include "pages.hpp"
#include "tensors.hpp"

namespace py = pybind11;

namespace mixq {
namespace {

struct Direct {
    const Engine& engine;
    const BitSerial* bit_serial;  // null: the processor lacks the instructions
    py::object layout;            // a function: the bits of a weight, laid out
    py::object empty;             // torch.empty
    py::object int8, uint8, int32;
};

// Memory between two addresses.
struct Extent {
    const char *begin, *end;

    bool overlaps(const void* data, int64_t bytes) const {
        const char* first = static_cast<const char*>(data);
        return bytes > 0 && begin < end && first < end && begin < first + bytes;
    }
};

// Where a call writes: the tensor that was given for sums, or a new one.
struct Target {
    py::object tensor;
    char* data = nullptr;
    Extent given{nullptr, nullptr};
};

bool open_target(const Direct& direct, PyObject* out, const Requantized* requantized, int64_t rows, int64_t columns,
                 Target* target) {
    Tensor tensor;
    if (out != Py_None) {
        if (!read_tensor(out, &tensor) || tensor.kind != Kind::int32 || tensor.dims != 2) return false;
        if (tensor.size[0] != rows || tensor.size[1] != columns) return false;
        target->tensor = py::reinterpret_borrow<py::object>(out);
        target->data = tensor.data;
        target->given = {tensor.data, tensor.data + tensor.bytes()};
        return true;
    }
    py::object dtype = direct.int32;
    int64_t width = columns;
    if (requantized != nullptr) {
        const int bits = requantized->rescale.storage_bits;
        width = (columns * bits + 7) / 8;
        dtype = bits == 8 && requantized->is_signed ? direct.int8 : direct.uint8;
    }
    target->tensor = direct.empty(rows, width, py::arg("dtype") = dtype);
    if (!read_tensor(target->tensor.ptr(), &tensor)) return false;  // of a default device, for example
    target->data = tensor.data;
    prefer_large_pages(tensor.data, static_cast<size_t>(tensor.bytes()));
    return true;
}

Output output(const Target& target, const Requantized* requantized, int64_t columns) {
    if (requantized == nullptr) return {target.data, columns * 4, nullptr};
    return {target.data, (columns * requantized->rescale.storage_bits + 7) / 8, &requantized->rescale};
}

// Whether the weight's integers lie within those of int8.
bool is_int8(const Matrix& weight) {
    const int32_t low = weight.bits == 8 ? -128 : 0, high = weight.bits == 8 ? 127 : (1 << weight.bits) - 1;
    return low * weight.step + weight.offset >= -128 && high * weight.step + weight.offset <= 127;
}

py::object linear(const Direct& direct, const py::object& x_given, const py::object& weight_given,
                  const py::object& zero_point, const py::object& out, const py::object& requantization,
                  const py::object& row, int threads) {
    int64_t x_zero_point;
    Matrix x, weight;
    py::object x_data, weight_data;
    Target target;
    Requantized requantized;
    if (!read_integer(zero_point.ptr(), -2 * kFarthest, 2 * kFarthest, &x_zero_point) ||
        !read_matrix(x_given.ptr(), x_zero_point, &x, &x_data) ||
        !read_matrix(weight_given.ptr(), 0, &weight, &weight_data) || x.columns != weight.rows || !is_int8(weight) ||
        (weight.bits == 8 && !weight.is_signed)) {
        return py::none();
    }
    const bool fused = !requantization.is_none();
    if (fused && !read_requantization(requantization.ptr(), row.ptr(), x.rows, weight.columns, &requantized)) {
        return py::none();
    }
    const Requantized* applied = fused ? &requantized : nullptr;
    if (!open_target(direct, out.ptr(), applied, x.rows, weight.columns, &target)) return py::none();
    if (target.given.overlaps(x.data, x.rows * x.row_bytes) ||
        target.given.overlaps(weight.data, weight.rows * weight.row_bytes)) {
        return py::none();
    }
    Tensor layout;
    py::object layout_held;
    if (direct.bit_serial != nullptr && has_few_bits(x, weight) && direct.bit_serial->is_faster(x, weight)) {
        layout_held = direct.layout(weight_data, weight.bits, weight.columns, weight.step, weight.offset, x.bits);
        if (!read_tensor(layout_held.ptr(), &layout)) return py::none();
    }
    const Output to = output(target, applied, weight.columns);
    {
        const py::gil_scoped_release release;
        if (layout.data != nullptr) {
            direct.bit_serial->linear(x, weight, reinterpret_cast<const uint8_t*>(layout.data), to, threads);
        } else {
            direct.engine.linear(x, weight, to, threads);
        }
    }
    return target.tensor;
}

// Returns False if the graph names a row that does not exist.
py::object aggregate(const Direct& direct, const py::object& rowptr, const py::object& col, const py::object& weight,
                     const py::object& x_given, const py::object& weight_zero_point, const py::object& zero_point,
                     const py::object& out, const py::object& requantization, const py::object& row, int threads) {
    int64_t x_zero_point, alpha_zero_point;
    Tensor begins, neighbours, alpha;
    Matrix x;
    py::object x_data;
    Target target;
    Requantized requantized;
    if (!read_integer(zero_point.ptr(), -2 * kFarthest, 2 * kFarthest, &x_zero_point) ||
        !read_integer(weight_zero_point.ptr(), -kFarthest, kFarthest, &alpha_zero_point) ||
        !read_vector(rowptr.ptr(), Kind::int32, &begins) || begins.size[0] < 1 ||
        !read_vector(col.ptr(), Kind::int32, &neighbours) ||
        !read_matrix(x_given.ptr(), x_zero_point, &x, &x_data)) {
        return py::none();
    }
    if (!weight.is_none() && (!read_tensor(weight.ptr(), &alpha) || alpha.dims != 1 || !alpha.is_byte() ||
                              alpha.size[0] != neighbours.size[0])) {
        return py::none();
    }
    const int64_t rows = begins.size[0] - 1;
    const bool fused = !requantization.is_none();
    if (x.columns == 0 ||  // neighbours are then not read, and have to be checked elsewhere
        (fused && !read_requantization(requantization.ptr(), row.ptr(), rows, x.columns, &requantized))) {
        return py::none();
    }
    const Requantized* applied = fused ? &requantized : nullptr;
    if (!open_target(direct, out.ptr(), applied, rows, x.columns, &target)) return py::none();
    if (target.given.overlaps(x.data, x.rows * x.row_bytes) || target.given.overlaps(begins.data, begins.bytes()) ||
        target.given.overlaps(neighbours.data, neighbours.bytes()) || target.given.overlaps(alpha.data, alpha.bytes())) {
        return py::none();
    }
    const Graph graph{reinterpret_cast<const int32_t*>(begins.data),
                      reinterpret_cast<const int32_t*>(neighbours.data),
                      weight.is_none() ? nullptr : reinterpret_cast<const uint8_t*>(alpha.data),
                      alpha.kind == Kind::int8,
                      static_cast<int32_t>(alpha_zero_point),
                      rows,
                      neighbours.size[0]};
    bool valid = false;
    {
        const py::gil_scoped_release release;
        valid = direct.engine.aggregate(graph, x, output(target, applied, x.columns), threads);
    }
    return valid ? target.tensor : py::bool_(false);
}

}  // namespace

void bind_direct(py::module_& module) {
    const auto make = [](const Engine& engine, const BitSerial* bit_serial, const py::object& layout,
                         const py::module_& torch) {
        return Direct{engine,           bit_serial,           layout,
                      torch.attr("empty"), torch.attr("int8"), torch.attr("uint8"), torch.attr("int32")};
    };
    module.def("learn_types", &learn_types);
    py::class_<Direct>(module, "Direct").def(py::init(make)).def("linear", &linear).def("aggregate", &aggregate);
}

}  // namespace mixq
