"""Registration of the integer operators with torch: schemas, shapes, and the choice of a backend.

The import of this module registers ``torch.ops.mixq_rl.linear``, ``linear_out`` and ``linear_requantize``, and the same
three forms of ``aggregate``. Every operator checks its arguments, so a call from an exported program cannot read out of
bounds either.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import Tensor

from mixq_rl.errors import InputError
from mixq_rl.extents import check_apart, check_held
from mixq_rl.kernels import cpu, reference
from mixq_rl.kernels.arguments import CSRMatrix, Matrix, Rescale

__all__ = ["Backend", "backends", "chosen", "cpu_engine", "is_plain", "using"]


class Backend(Protocol):
    """Protocol of backends, which execute the operators.

    Arguments are checked and contiguous, except for the indices of a graph, which the backend checks; sums fit int32.
    """

    def linear(self, x: Matrix, weight: Matrix, rescale: Rescale | None, out: Tensor) -> None:
        """Write the product to ``out``: int32 sums, or the requantized and packed sums if ``rescale`` is given."""

    def aggregate(self, adjacency: CSRMatrix, x: Matrix, rescale: Rescale | None, out: Tensor) -> None:
        """Write the sums over neighbours to ``out``: int32, or requantized and packed if ``rescale`` is given.

        Raises:
            InvalidGraphError: for an index out of bounds.
        """


_OF_A_GPU = ("cuda", "triton")

_chosen: ContextVar[str | None] = ContextVar("chosen_backend", default=None)


@cache
def backends() -> tuple[str, ...]:
    """Return the names of the backends that can execute tensors of the CPU here, fastest first."""
    return (*cpu.instruction_sets(), "reference")


@contextmanager
def using(name: str) -> Iterator[None]:
    """Use the named backend inside a ``with`` block: one of :func:`backends`, or ``"cuda"`` or ``"triton"`` on a GPU.

    Raises:
        InputError: for a backend that cannot run here.
    """
    known = backends() if find_spec("triton") is None else (*backends(), *_OF_A_GPU)
    if name not in known:
        raise InputError(f"backend {name!r} cannot run here; these can: {', '.join(known)}")
    token = _chosen.set(name)
    try:
        yield
    finally:
        _chosen.reset(token)


def chosen() -> str:
    """Return the name of the backend for tensors of the CPU: that of :func:`using`, or the fastest."""
    return _chosen.get() or backends()[0]


def cpu_engine() -> cpu.Engine | None:
    """Return the native backend that executes tensors of the CPU at present, or None if it is another one."""
    name = chosen()
    return None if name == "reference" or name in _OF_A_GPU else cpu.engine(name)


# Dispatch keys of a thread in which calls of operators go straight to the backend.
_PLAIN = {torch._C._dispatch_tls_local_include_set().raw_repr()}
with torch.inference_mode():
    _PLAIN.add(torch._C._dispatch_tls_local_include_set().raw_repr())


def is_plain() -> bool:
    """Return whether nothing but a backend would take part in a call of an operator at present.

    False while torch compiles, exports or traces, in a dispatch mode such as that of fake tensors, inside
    ``torch.func`` transforms, and while torch's profiler runs.
    """
    if torch.compiler.is_compiling():
        return False
    keys = torch._C._dispatch_tls_local_include_set().raw_repr()
    return keys in _PLAIN and not torch._C._autograd._profiler_enabled()


@cache
def _backend(name: str) -> Backend:
    if name == "cuda":
        from mixq_rl.kernels import cuda_backend

        return cuda_backend
    if name == "triton":
        from mixq_rl.kernels import triton_backend

        return triton_backend
    return reference if name == "reference" else cpu.engine(name)


def _backend_for(tensor: Tensor) -> Backend:
    name = _chosen.get() or ("cuda" if tensor.is_cuda else backends()[0])
    if tensor.is_cuda and name not in (*_OF_A_GPU, "reference"):
        raise InputError(f"backend {name!r} executes tensors of the CPU, not of {tensor.device}")
    if name == "cuda" and not tensor.is_cuda:
        raise InputError("backend 'cuda' executes tensors of a GPU, not of the CPU: move them there by .to('cuda')")
    return _backend(name)


_MATRIX = "Tensor {0}, int {0}_bits, int {0}_columns, int {0}_step, int {0}_offset"
_LINEAR = f"{_MATRIX.format('x')}, {_MATRIX.format('weight')}"
_AGGREGATE = f"Tensor rowptr, Tensor col, Tensor? weight, int weight_zero_point, {_MATRIX.format('x')}"
_RESCALE = (
    "Tensor multiplier, int shift, Tensor? row, int row_shift, Tensor? bias, int zero_point, int bits, bool signed"
)
_OUT = "Tensor(a!) out"
_SCHEMAS = (
    f"linear({_LINEAR}) -> Tensor",
    f"linear_out({_LINEAR}, {_OUT}) -> ()",
    f"linear_requantize({_LINEAR}, {_RESCALE}) -> Tensor",
    f"aggregate({_AGGREGATE}) -> Tensor",
    f"aggregate_out({_AGGREGATE}, {_OUT}) -> ()",
    f"aggregate_requantize({_AGGREGATE}, {_RESCALE}) -> Tensor",
)


def _linear_groups(arguments: tuple[Any, ...]) -> tuple[Matrix, Matrix, tuple[Any, ...]]:
    x, weight = Matrix(*arguments[:5]), Matrix(*arguments[5:10])
    x.check("x")
    weight.check_weight()
    if x.columns != weight.data.shape[0]:
        raise InputError(
            f"linear of shapes {(x.data.shape[0], x.columns)} and {(weight.data.shape[0], weight.columns)}: "
            f"inner dimensions must agree"
        )
    return x, weight, arguments[10:]


def _aggregate_groups(arguments: tuple[Any, ...]) -> tuple[CSRMatrix, Matrix, tuple[Any, ...]]:
    adjacency, x = CSRMatrix(*arguments[:4]), Matrix(*arguments[4:9])
    adjacency.check()
    x.check("x")
    return adjacency, x, arguments[9:]


def _result(rows: int, columns: int, rest: tuple[Any, ...], like: Tensor) -> tuple[Rescale | None, Tensor]:
    """Return the requantization, if any, and the tensor for the result, which is allocated if none was given."""
    if len(rest) == 1:
        out: Tensor = rest[0]
        if out.dtype != torch.int32:
            raise TypeError(f"out must be contiguous int32, not {out.dtype}")
        if tuple(out.shape) != (rows, columns) or not out.is_contiguous():
            raise InputError(f"out must be contiguous int32 of shape {(rows, columns)}, not {tuple(out.shape)}")
        return None, out
    if not rest:
        return None, like.new_empty((rows, columns), dtype=torch.int32)
    rescale = Rescale(*rest)
    rescale.check(rows, columns)
    offered = rescale.range
    return rescale, like.new_empty((rows, offered.row_bytes(columns)), dtype=offered.storage_dtype)


_Named = tuple[tuple[str, Tensor | None], ...]


def _named(rescale: Rescale | None) -> _Named:
    if rescale is None:
        return ()
    return ("multiplier", rescale.multiplier), ("row", rescale.row), ("bias", rescale.bias)


def _check_device(out: Tensor, operands: _Named) -> None:
    for _, operand in operands:
        if operand is not None and operand.device != out.device:
            raise InputError(f"all tensors must be on one device, not on {out.device} and {operand.device}")


def _linear_problem(arguments: tuple[Any, ...]) -> tuple[Matrix, Matrix, Rescale | None, Tensor, _Named]:
    """Return the checked groups of arguments, the tensor for the result, and the operands by name."""
    x, weight, rest = _linear_groups(arguments)
    rescale, out = _result(x.data.shape[0], weight.columns, rest, x.data)
    operands = ("x", x.data), ("weight", weight.data), *_named(rescale)
    _check_device(out, operands)
    return x, weight, rescale, out, operands


def _aggregate_problem(arguments: tuple[Any, ...]) -> tuple[CSRMatrix, Matrix, Rescale | None, Tensor, _Named]:
    """Return the checked groups of arguments, the tensor for the result, and the operands by name."""
    adjacency, x, rest = _aggregate_groups(arguments)
    rescale, out = _result(adjacency.rowptr.shape[0] - 1, x.columns, rest, x.data)
    rowptr, col, weight, _ = adjacency
    operands = ("rowptr", rowptr), ("col", col), ("weight", weight), ("x", x.data), *_named(rescale)
    _check_device(out, operands)
    return adjacency, x, rescale, out, operands


def _linear(*arguments: Any) -> Tensor:
    x, weight, rescale, out, operands = _linear_problem(arguments)
    _prepare(out, operands, given=out is arguments[-1])
    rescale = None if rescale is None else rescale.contiguous()
    _backend_for(x.data).linear(x.contiguous(), weight.contiguous(), rescale, out)
    return out


def _aggregate(*arguments: Any) -> Tensor:
    adjacency, x, rescale, out, operands = _aggregate_problem(arguments)
    _prepare(out, operands, given=out is arguments[-1])
    rescale = None if rescale is None else rescale.contiguous()
    _backend_for(x.data).aggregate(adjacency.contiguous(), x.contiguous(), rescale, out)
    return out


def _prepare(out: Tensor, operands: _Named, given: bool) -> None:
    """Check the memory of operands and result; ``given``: whether the caller gave the tensor for the result."""
    check_held(operands)
    if not given:
        return
    check_held((("out", out),))
    check_apart(out, operands)
    if not out.is_inference():
        torch.autograd.graph.increment_version(out)  # torch does not know of the kernel's write


def _linear_shape(*arguments: Any) -> Tensor:
    return _linear_problem(arguments)[3]


def _aggregate_shape(*arguments: Any) -> Tensor:
    return _aggregate_problem(arguments)[3]


def _register() -> torch.library.Library:
    library = torch.library.Library("mixq_rl", "DEF")
    for schema in _SCHEMAS:
        name = schema[: schema.index("(")]
        linear = name.startswith("linear")
        execute, shape = (_linear, _linear_shape) if linear else (_aggregate, _aggregate_shape)
        if name.endswith("_out"):
            execute, shape = _without_result(execute), _without_result(shape)
        library.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
        library.impl(name, execute, "CPU")
        library.impl(name, execute, "CUDA")
        torch.library.register_fake(f"mixq_rl::{name}", shape, lib=library)
    return library


def _without_result(function: Any) -> Any:
    def call(*arguments: Any) -> None:
        function(*arguments)

    return call


_LIBRARY = _register()
