r"""Integer aggregation and integer linear: one public operation each, and their fused forms.

All operations take and return integers only. They read operands of few bits packed
(:class:`~mixq_rl.quantization.PackedRows`). The fused forms requantize the int32 sums of a row while they are in the
cache, and write them packed. C++ executes tensors of the CPU (AVX-512 VNNI, AVX2 or portable, chosen at run time). CUDA
C++ and Triton execute tensors of a GPU. All backends return the same integers.

Callers must rule out overflow of the int32 sums first (:mod:`mixq_rl.nn.bounds`).

On a CPU the indices of a graph are checked in every call, as they are at that time. A kernel copies indices and checks
the copy before it follows them, so writes by numpy, another thread or another process do not lead out of bounds. On a
GPU a check would have to wait for the device. There the first call with a graph copies and checks its indices, and so
does the next call after torch has written to them. Other writes are not noticed: the copy goes on being used.

No tensor may be resized or freed by another thread during a call.
"""

import torch
from torch import Tensor

from mixq_rl.kernels import direct
from mixq_rl.kernels.arguments import CSRMatrix, Matrix, Rescale, check_tensor
from mixq_rl.kernels.calls import AggregateCall, Call, JoinCall, LinearCall
from mixq_rl.kernels.dequantization import dequantize
from mixq_rl.kernels.features import quantize
from mixq_rl.kernels.library import backends, cpu_engine, is_plain, using
from mixq_rl.kernels.pipeline import Pipeline
from mixq_rl.quantization import FixedPoint, PackedRows, Requantization

__all__ = [
    "AggregateCall",
    "Call",
    "JoinCall",
    "LinearCall",
    "Pipeline",
    "aggregate",
    "aggregate_requantize",
    "backends",
    "cpu_engine",
    "dequantize",
    "is_plain",
    "linear",
    "linear_requantize",
    "quantize",
    "using",
]


def linear(
    x: Tensor | PackedRows, weight: Tensor | PackedRows, *, x_zero_point: int = 0, out: Tensor | None = None
) -> Tensor:
    r"""Return the integer matrix product :math:`\sum_k (x_{ik} - z_x) w_{kj}`.

    Args:
        x: int8 or uint8, ``[rows, inputs]``, or packed rows.
        weight: int8, ``[inputs, outputs]``, or packed rows.
        x_zero_point: z_x, subtracted by the correction z_x * sum_k w_kj.
        out: int32, ``[rows, outputs]``, contiguous, the tensor that the result is written to; None: a new tensor.

    Returns:
        int32, ``[rows, outputs]``.

    Raises:
        TypeError: for other types and dtypes.
        InputError: for shapes that do not fit, or an ``out`` that overlaps an operand.
    """
    sums = direct.linear(x, weight, x_zero_point, out)
    if sums is not None:
        return sums
    arguments = (*Matrix.of(x, x_zero_point), *Matrix.of(weight, what="weight"))
    if out is None:
        result: Tensor = torch.ops.mixq_rl.linear(*arguments)
        return result
    check_tensor("out", out)
    torch.ops.mixq_rl.linear_out(*arguments, out)
    return out


def linear_requantize(
    x: Tensor | PackedRows,
    weight: Tensor | PackedRows,
    requantization: Requantization,
    *,
    x_zero_point: int = 0,
    row: FixedPoint | None = None,
) -> PackedRows:
    """Return the sums of :func:`linear`, requantized: ``requantization(sums, row)``, packed.

    Args:
        x, weight, x_zero_point: see :func:`linear`.
        requantization: map from the sums to the result's integers.
        row: fixed-point scales of the rows, ``[rows, 1]``, or None.

    Raises:
        TypeError: for other types and dtypes.
        InputError: for shapes that do not fit.
    """
    packed = direct.linear_requantize(x, weight, requantization, x_zero_point, row)
    if packed is not None:
        return packed
    factor = Matrix.of(weight, what="weight")
    arguments = (*Matrix.of(x, x_zero_point), *factor, *Rescale.of(requantization, row))
    return PackedRows(torch.ops.mixq_rl.linear_requantize(*arguments), factor.columns, requantization.range)


def aggregate(
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None,
    x: Tensor | PackedRows,
    *,
    weight_zero_point: int = 0,
    x_zero_point: int = 0,
    out: Tensor | None = None,
) -> Tensor:
    r"""Return the integer neighbour sums :math:`\sum_{j \in N(i)} (\alpha_{ij} - z_a)(\xi_{jf} - z_x)`.

    The computation follows the theorem of MixQ-GNN (ICDE 2025):
    :math:`\sum \alpha\xi - z_x \sum \alpha - z_a \sum \xi + d_i z_a z_x`, with sums over the stored neighbours of row
    i, and :math:`d_i` their number.

    Args:
        rowptr: int32, ``[rows + 1]``: where each row's neighbours begin in ``col`` (CSR).
        col: int32, ``[edges]``: neighbours, rows of ``x``.
        weight: int8 or uint8, ``[edges]``, the integers alpha; None: all 1, with zero point 0.
        x: int8 or uint8, ``[nodes, features]``, or packed rows: the integers xi.
        weight_zero_point: z_a.
        x_zero_point: z_x.
        out: int32, ``[rows, features]``, contiguous, the tensor that the result is written to; None: a new tensor.

    Returns:
        int32, ``[rows, features]``.

    Raises:
        TypeError: for other types and dtypes.
        InputError: for shapes that do not fit, or an ``out`` that overlaps an operand.
        InvalidGraphError: for an index out of bounds; the entries of ``out`` are then undefined.
    """
    sums = direct.aggregate(rowptr, col, weight, x, weight_zero_point, x_zero_point, out)
    if sums is not None:
        return sums
    arguments = (*CSRMatrix.of(rowptr, col, weight, weight_zero_point), *Matrix.of(x, x_zero_point))
    if out is None:
        result: Tensor = torch.ops.mixq_rl.aggregate(*arguments)
        return result
    check_tensor("out", out)
    torch.ops.mixq_rl.aggregate_out(*arguments, out)
    return out


def aggregate_requantize(
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor | None,
    x: Tensor | PackedRows,
    requantization: Requantization,
    *,
    weight_zero_point: int = 0,
    x_zero_point: int = 0,
    row: FixedPoint | None = None,
) -> PackedRows:
    """Return the sums of :func:`aggregate`, requantized: ``requantization(sums, row)``, packed.

    Args:
        rowptr, col, weight, x, weight_zero_point, x_zero_point: see :func:`aggregate`.
        requantization: map from the sums to the result's integers.
        row: fixed-point scales of the rows, ``[rows, 1]``, or None.

    Raises:
        TypeError: for other types and dtypes.
        InputError: for shapes that do not fit.
        InvalidGraphError: for an index out of bounds.
    """
    zero_points = weight_zero_point, x_zero_point
    packed = direct.aggregate_requantize(rowptr, col, weight, x, requantization, *zero_points, row)
    if packed is not None:
        return packed
    graph, matrix = CSRMatrix.of(rowptr, col, weight, weight_zero_point), Matrix.of(x, x_zero_point)
    arguments = (*graph, *matrix, *Rescale.of(requantization, row))
    return PackedRows(torch.ops.mixq_rl.aggregate_requantize(*arguments), matrix.columns, requantization.range)
