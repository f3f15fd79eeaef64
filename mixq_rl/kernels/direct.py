"""Direct calls of the native kernels, past torch's dispatcher, for plain tensors of the CPU.

A call of an operator of torch that is written in Python takes some twenty microseconds, more than a small product. The
extension does the checks of :mod:`mixq_rl.kernels.library` itself and takes less than five. Whatever it does not take,
such as a tensor that is not contiguous or a wrong argument, goes to the operator.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from mixq_rl.kernels import cpu
from mixq_rl.kernels.arguments import Matrix
from mixq_rl.kernels.indices import raise_invalid
from mixq_rl.kernels.library import cpu_engine, is_plain
from mixq_rl.quantization import FixedPoint, IntegerRange, PackedRows, Requantization

__all__ = ["aggregate", "aggregate_requantize", "linear", "linear_requantize"]


def linear(x: Any, weight: Any, x_zero_point: Any, out: Any) -> Tensor | None:
    """Return the sums of a product; None, with nothing done, if the operator has to be called instead."""
    native = _native()
    if native is None:
        return None
    return _written(native.linear(x, weight, x_zero_point, out, None, None, torch.get_num_threads()), out)


def linear_requantize(x: Any, weight: Any, requantization: Any, x_zero_point: Any, row: Any) -> PackedRows | None:
    """Return the requantized sums of a product; None, with nothing done, if the operator has to be called instead."""
    native = _native()
    if native is None or type(requantization) is not Requantization:
        return None
    data = native.linear(x, weight, x_zero_point, None, requantization, row, torch.get_num_threads())
    if data is None:
        return None
    columns = weight.columns if isinstance(weight, PackedRows) else weight.shape[1]
    return PackedRows.known(data, columns, requantization.range)


def aggregate(
    rowptr: Any, col: Any, weight: Any, x: Any, weight_zero_point: Any, x_zero_point: Any, out: Any
) -> Tensor | None:
    """Return sums over neighbours; None, with nothing done, if the operator has to be called instead.

    Raises:
        InvalidGraphError: for an index out of bounds.
    """
    native = _native()
    if native is None:
        return None
    edges = rowptr, col, weight, x, weight_zero_point, x_zero_point
    sums = native.aggregate(*edges, out, None, None, torch.get_num_threads())
    if sums is False:
        raise_invalid(rowptr, col, _rows(x))
    return _written(sums, out)


def aggregate_requantize(
    rowptr: Any,
    col: Any,
    weight: Any,
    x: Any,
    requantization: Any,
    weight_zero_point: Any,
    x_zero_point: Any,
    row: Any,
) -> PackedRows | None:
    """Return requantized sums over neighbours; None, with nothing done, if the operator has to be called instead.

    Raises:
        InvalidGraphError: for an index out of bounds.
    """
    native = _native()
    if native is None or type(requantization) is not Requantization:
        return None
    edges = rowptr, col, weight, x, weight_zero_point, x_zero_point
    data = native.aggregate(*edges, None, requantization, row, torch.get_num_threads())
    if data is False:
        raise_invalid(rowptr, col, _rows(x))
    if data is None:
        return None
    columns = x.columns if isinstance(x, PackedRows) else x.shape[1]
    return PackedRows.known(data, columns, requantization.range)


def _native() -> Any | None:
    """Return the extension's calls, or None if all calls have to go through the operators of torch at present."""
    if not is_plain():
        return None
    engine = cpu_engine()
    return None if engine is None else _of(engine)


@cache
def _of(engine: cpu.Engine) -> Any | None:
    if not _knows_types(engine.extension):
        return None

    def layout(weight: Tensor, bits: int, columns: int, step: int, offset: int, x_bits: int) -> Tensor:
        return engine.layout(Matrix(weight, bits, columns, step, offset), x_bits)

    return engine.direct(layout)


@cache
def _knows_types(extension: Any) -> bool:
    known: bool = extension.learn_types(Tensor, PackedRows, IntegerRange, FixedPoint, Requantization)
    return known


def _written(sums: Tensor | None, out: Tensor | None) -> Tensor | None:
    if sums is not None and out is not None and not out.is_inference():
        torch.autograd.graph.increment_version(out)  # torch does not know of the kernel's write
    return sums


def _rows(x: Tensor | PackedRows) -> int:
    return len(x.data) if isinstance(x, PackedRows) else len(x)
