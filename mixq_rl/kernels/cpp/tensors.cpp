// Reading of Python's objects. Memory is asked for through DLPack's table of C functions, which torch keeps in
// `torch.Tensor.__dlpack_c_exchange_api__`; the parts of its layout that are used here are those of DLPack 1.
#include "tensors.hpp"

#include <algorithm>

namespace py = pybind11;

namespace mixq {
namespace {

struct DlTensor {
    void* data;
    int32_t device_type, device_id;
    int32_t dims;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides;
    uint64_t byte_offset;
};

struct DlExchange {
    uint32_t major, minor;
    void* previous;
    void *allocate, *managed_from_object, *managed_to_object;
    int (*tensor_from_object)(void* object, DlTensor* tensor);
    void* current_stream;
};

constexpr int32_t kCpu = 1;
constexpr uint8_t kSigned = 0, kUnsigned = 1;
constexpr int64_t kMostRowShift = 63, kMostShift = 40, kMostZeroPoint = 256;

struct Types {
    PyObject *tensor, *packed_rows, *integer_range, *fixed_point, *requantization;
};

Types types{};
const DlExchange* exchange = nullptr;

// Names of attributes, made once.
PyObject* name(const char* text) { return PyUnicode_InternFromString(text); }

struct Names {
    PyObject *untyped_storage = name("untyped_storage"), *nbytes = name("nbytes"), *data_ptr = name("data_ptr"), *data = name("data"),
             *columns = name("columns"), *range = name("range"), *bits = name("bits"), *is_signed = name("signed"),
             *multiplier = name("multiplier"), *shift = name("shift"), *row_shift = name("row_shift"),
             *bias = name("bias"), *zero_point = name("zero_point"), *mantissa = name("mantissa");
};

const Names& names() {
    static const Names made;
    return made;
}

// An attribute; without one there is nothing to read, and no error.
py::object attribute(PyObject* object, PyObject* named) {
    PyObject* found = PyObject_GetAttr(object, named);
    if (found == nullptr) PyErr_Clear();
    return py::reinterpret_steal<py::object>(found);
}

bool is(PyObject* object, PyObject* type) { return reinterpret_cast<PyObject*>(Py_TYPE(object)) == type; }

Kind kind_of(const DlTensor& seen) {
    if (seen.lanes != 1) return Kind::other;
    if (seen.bits == 8 && seen.code == kSigned) return Kind::int8;
    if (seen.bits == 8 && seen.code == kUnsigned) return Kind::uint8;
    if (seen.bits == 32 && seen.code == kSigned) return Kind::int32;
    if (seen.bits == 64 && seen.code == kSigned) return Kind::int64;
    return Kind::other;
}

bool is_contiguous(const DlTensor& seen) {
    if (std::find(seen.shape, seen.shape + seen.dims, 0) != seen.shape + seen.dims) return true;
    int64_t expected = 1;
    for (int d = seen.dims - 1; d >= 0; --d) {
        if (seen.strides != nullptr && seen.shape[d] != 1 && seen.strides[d] != expected) return false;
        expected *= seen.shape[d];
    }
    return true;
}

// Storages may have been resized since the tensor was made.
bool is_held(PyObject* object, const Tensor& tensor) {
    PyObject* storage = PyObject_CallMethodNoArgs(object, names().untyped_storage);
    if (storage == nullptr) return PyErr_Clear(), false;
    PyObject* size = PyObject_CallMethodNoArgs(storage, names().nbytes);
    PyObject* first = PyObject_CallMethodNoArgs(storage, names().data_ptr);
    Py_DECREF(storage);
    const auto begin = first == nullptr ? 0 : reinterpret_cast<uintptr_t>(PyLong_AsVoidPtr(first));
    const int64_t held = size == nullptr ? -1 : PyLong_AsLongLong(size);
    Py_XDECREF(size);
    Py_XDECREF(first);
    if (PyErr_Occurred() != nullptr) return PyErr_Clear(), false;
    const int64_t needed = tensor.bytes();
    return needed == 0 || static_cast<int64_t>(reinterpret_cast<uintptr_t>(tensor.data) - begin) + needed <= held;
}

// Storage bits of integers of `bits` bits.
int storage_bits(int64_t bits) { return bits <= 2 ? static_cast<int>(bits) : bits <= 4 ? 4 : 8; }

bool read_range(PyObject* object, int64_t* bits, bool* is_signed) {
    if (!is(object, types.integer_range)) return false;
    const py::object width = attribute(object, names().bits), sign = attribute(object, names().is_signed);
    if (!width || !sign || !read_integer(width.ptr(), 1, 8, bits) || !PyBool_Check(sign.ptr())) return false;
    *is_signed = sign.ptr() == Py_True;
    return true;
}

}  // namespace

bool learn_types(const py::object& tensor, const py::object& packed_rows, const py::object& integer_range,
                 const py::object& fixed_point, const py::object& requantization) {
    types = {tensor.ptr(), packed_rows.ptr(), integer_range.ptr(), fixed_point.ptr(), requantization.ptr()};
    for (const py::object& type : {tensor, packed_rows, integer_range, fixed_point, requantization}) type.inc_ref();
    const py::object capsule = py::getattr(tensor, "__dlpack_c_exchange_api__", py::none());
    if (!PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api")) return false;
    capsule.inc_ref();
    exchange = static_cast<const DlExchange*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
    if (exchange->major != 1 || exchange->tensor_from_object == nullptr) exchange = nullptr;
    return exchange != nullptr;
}

bool read_tensor(PyObject* object, Tensor* tensor) {
    DlTensor seen{};
    if (exchange == nullptr || !is(object, types.tensor)) return false;
    if (exchange->tensor_from_object(object, &seen) != 0) return PyErr_Clear(), false;  // sparse, for example
    if (seen.device_type != kCpu || seen.dims > 2 || !is_contiguous(seen)) return false;
    tensor->data = static_cast<char*>(seen.data) + seen.byte_offset;
    tensor->kind = kind_of(seen);
    tensor->dims = seen.dims;
    for (int d = 0; d < seen.dims; ++d) tensor->size[d] = seen.shape[d];
    return tensor->kind != Kind::other && is_held(object, *tensor);
}

bool read_vector(PyObject* object, Kind kind, Tensor* tensor) {
    return read_tensor(object, tensor) && tensor->dims == 1 && tensor->kind == kind;
}

bool read_integer(PyObject* object, int64_t least, int64_t most, int64_t* integer) {
    if (!PyLong_CheckExact(object)) return false;
    int overflow = 0;
    *integer = PyLong_AsLongLongAndOverflow(object, &overflow);
    return overflow == 0 && *integer >= least && *integer <= most;
}

bool read_matrix(PyObject* object, int64_t zero_point, Matrix* matrix, py::object* data) {
    Tensor tensor;
    int64_t columns = 0, bits = 8;
    bool is_signed = false;
    if (is(object, types.packed_rows)) {
        const py::object held = attribute(object, names().data), range = attribute(object, names().range);
        const py::object width = attribute(object, names().columns);
        if (!held || !range || !width || !read_range(range.ptr(), &bits, &is_signed)) return false;
        if (!read_integer(width.ptr(), 0, INT64_MAX / 8, &columns) || !read_tensor(held.ptr(), &tensor)) return false;
        *data = held;
    } else {
        if (!read_tensor(object, &tensor)) return false;
        columns = tensor.size[1];
        *data = py::reinterpret_borrow<py::object>(object);
    }
    if (tensor.dims != 2 || !tensor.is_byte()) return false;
    const bool packed = is(object, types.packed_rows);
    const int stored = storage_bits(bits);
    const int64_t row_bytes = (columns * stored + 7) / 8;
    if (stored < 8 && tensor.kind != Kind::uint8) return false;
    if (tensor.size[1] != row_bytes) return false;
    const bool is_sign = packed && is_signed && bits == 1;
    const int64_t first = is_sign ? -1 : packed && is_signed && stored < 8 ? -(int64_t{1} << (bits - 1)) : 0;
    const int64_t offset = first - zero_point;
    if (offset > kFarthest || offset < -kFarthest) return false;
    *matrix = {reinterpret_cast<const uint8_t*>(tensor.data), tensor.size[0], columns, row_bytes, stored,
               stored == 8 && tensor.kind == Kind::int8,      is_sign ? 2 : 1, static_cast<int32_t>(offset)};
    return true;
}

bool read_requantization(PyObject* object, PyObject* row, int64_t rows, int64_t columns, Requantized* read) {
    if (!is(object, types.requantization)) return false;
    const Names& n = names();
    read->multiplier = attribute(object, n.multiplier);
    read->bias = attribute(object, n.bias);
    const py::object shift = attribute(object, n.shift), row_shift = attribute(object, n.row_shift);
    const py::object range = attribute(object, n.range), zero_point = attribute(object, n.zero_point);
    if (!read->multiplier || !read->bias || !shift || !row_shift || !range || !zero_point) return false;
    int64_t shift_of, row_shift_of, zero_point_of, bits;
    if (!read_integer(shift.ptr(), 1, kMostShift, &shift_of) ||
        !read_integer(row_shift.ptr(), 0, kMostRowShift, &row_shift_of) ||
        !read_integer(zero_point.ptr(), -kMostZeroPoint, kMostZeroPoint, &zero_point_of) ||
        !read_range(range.ptr(), &bits, &read->is_signed)) {
        return false;
    }
    Tensor factors, biases, mantissas;
    if (!read_tensor(read->multiplier.ptr(), &factors) || factors.kind != Kind::int64) return false;
    if (factors.entries() != columns && factors.entries() != 1) return false;
    if (!read->bias.is_none()) {
        if (!read_tensor(read->bias.ptr(), &biases) || biases.kind != Kind::int64) return false;
        if (biases.entries() != columns) return false;
    }
    if (row != Py_None) {
        if (!is(row, types.fixed_point)) return false;
        read->mantissa = attribute(row, n.mantissa);
        if (!read->mantissa || !read_tensor(read->mantissa.ptr(), &mantissas)) return false;
        if (mantissas.kind != Kind::int32 || mantissas.entries() != rows) return false;
    }
    const int64_t* first = reinterpret_cast<const int64_t*>(factors.data);
    const auto bounds = std::minmax_element(first, first + factors.entries());
    const int64_t least = factors.entries() == 0 ? 0 : *bounds.first;
    const int64_t largest = factors.entries() == 0 ? 0 : *bounds.second;
    if (least < 0 || largest >= int64_t{1} << 31) return false;
    const bool is_sign = read->is_signed && bits == 1;
    const int64_t half = int64_t{1} << (read->is_signed ? bits - 1 : bits);
    read->rescale = {first,
                     factors.entries() > 1,
                     largest,
                     static_cast<int>(shift_of),
                     reinterpret_cast<const int32_t*>(mantissas.data),
                     row == Py_None ? 0 : static_cast<int>(row_shift_of),
                     reinterpret_cast<const int64_t*>(biases.data),
                     zero_point_of,
                     is_sign ? -1 : read->is_signed ? -half : 0,
                     is_sign ? 1 : half - 1,
                     is_sign,
                     storage_bits(bits)};
    return true;
}

}  // namespace mixq
