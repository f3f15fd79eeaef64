"""Integer aggregation and integer linear: one public operation each.

Both take and return integer tensors only. Overflow of the int32 sums is the caller's to rule out beforehand
(:mod:`mixq_rl.nn.bounds`); indices are trusted, they are checked where a graph is prepared.
"""

import torch
from torch import Tensor

from mixq_rl.kernels import reference

__all__ = ["aggregate", "linear"]

_BYTES = (torch.int8, torch.uint8)


def linear(x: Tensor, weight: Tensor, *, x_zero_point: int = 0) -> Tensor:
    r"""Integer matrix product :math:`\sum_k (x_{ik} - z_x) w_{kj}`.

    Args:
        x: int8 or uint8, ``[rows, inputs]``.
        weight: int8, ``[inputs, outputs]``.
        x_zero_point: z_x, taken off by the correction z_x * sum_k w_kj.

    Returns:
        int32, ``[rows, outputs]``.

    Raises:
        TypeError: for other dtypes.
        ValueError: for shapes that do not fit.
    """
    if x.dtype not in _BYTES or weight.dtype != torch.int8:
        raise TypeError(f"linear takes int8 or uint8 x and int8 weight, not {x.dtype} and {weight.dtype}")
    if x.dim() != 2 or weight.dim() != 2 or x.shape[1] != weight.shape[0]:
        raise ValueError(f"linear of shapes {tuple(x.shape)} and {tuple(weight.shape)}: inner dimensions must agree")
    sums = reference.linear(x.contiguous(), weight.contiguous())
    if x_zero_point:
        sums = sums - x_zero_point * weight.sum(dim=0, dtype=torch.int32)
    return sums


def aggregate(
    rowptr: Tensor, col: Tensor, weight: Tensor | None, x: Tensor, *, weight_zero_point: int = 0, x_zero_point: int = 0
) -> Tensor:
    r"""Integer neighbour sum :math:`\sum_{j \in N(i)} (\alpha_{ij} - z_a)(\xi_{jf} - z_x)`.

    Carried out as the theorem of MixQ-GNN (ICDE 2025) has it:
    :math:`\sum \alpha\xi - z_x \sum \alpha - z_a \sum \xi + d_i z_a z_x`, sums over the stored neighbours of row i,
    :math:`d_i` their number.

    Args:
        rowptr: int32, ``[rows + 1]``: where each row's neighbours begin in ``col`` (CSR).
        col: int32, ``[edges]``: neighbours, rows of ``x``.
        weight: int8 or uint8, ``[edges]``, the integers alpha; None: all 1.
        x: int8 or uint8, ``[nodes, features]``, the integers xi.
        weight_zero_point: z_a.
        x_zero_point: z_x.

    Returns:
        int32, ``[rows, features]``.

    Raises:
        TypeError: for other dtypes.
        ValueError: for shapes that do not fit.
    """
    if rowptr.dtype != torch.int32 or col.dtype != torch.int32:
        raise TypeError(f"aggregate takes int32 rowptr and col, not {rowptr.dtype} and {col.dtype}")
    if x.dtype not in _BYTES or (weight is not None and weight.dtype not in _BYTES):
        raise TypeError(
            f"aggregate takes int8 or uint8 x and weight, not {x.dtype} and {None if weight is None else weight.dtype}"
        )
    if x.dim() != 2 or rowptr.dim() != 1 or col.dim() != 1 or (weight is not None and weight.shape != col.shape):
        raise ValueError("aggregate takes rowptr [rows + 1], col [edges], weight [edges] or None, x [nodes, features]")
    sums = reference.aggregate(rowptr, col, weight, x)
    degree = rowptr.diff().unsqueeze(1)
    if x_zero_point:
        total = degree if weight is None else _row_sums(rowptr, weight)
        sums = sums - x_zero_point * total
    if weight_zero_point:
        sums = sums - weight_zero_point * reference.aggregate(rowptr, col, None, x)
    if weight_zero_point and x_zero_point:
        sums = sums + weight_zero_point * x_zero_point * degree
    return sums


def _row_sums(rowptr: Tensor, weight: Tensor) -> Tensor:
    edges = torch.arange(weight.numel(), dtype=torch.int32, device=weight.device)
    return reference.aggregate(rowptr, edges, None, weight.unsqueeze(1))
