"""Reference backend: the integer operations in plain torch and int64, slow and simple."""

import torch
from torch import Tensor

from mixq_rl.kernels.arguments import CSRMatrix, Matrix, Rescale
from mixq_rl.kernels.indices import check_indices
from mixq_rl.quantization import FixedPoint, PackedRows, Requantization
from mixq_rl.quantization.packing import unpack_codes

__all__ = ["aggregate", "decode", "linear"]


def decode(x: Matrix) -> Tensor:
    """Return the integers ``step * u + offset`` of the codes u, int64 ``[rows, columns]``."""
    codes = x.data if x.bits == 8 else unpack_codes(x.data, x.bits, x.columns)
    return codes.long() * x.step + x.offset


def linear(x: Matrix, weight: Matrix, rescale: Rescale | None, out: Tensor) -> None:
    """See :class:`mixq_rl.kernels.library.Backend`."""
    left, right = decode(x), decode(weight)
    if left.is_cuda:  # torch has no integer products there
        left, right = left.cpu(), right.cpu()
    _write((left @ right).to(out.device), rescale, out)


def aggregate(adjacency: CSRMatrix, x: Matrix, rescale: Rescale | None, out: Tensor) -> None:
    """See :class:`mixq_rl.kernels.library.Backend`."""
    rowptr, col = adjacency.rowptr.clone(), adjacency.col.clone()  # nobody else writes to these
    check_indices(rowptr, col, x.data.shape[0])
    num_rows = rowptr.numel() - 1
    row = torch.repeat_interleave(torch.arange(num_rows, device=out.device), rowptr.diff())
    messages = decode(x).index_select(0, col)
    if adjacency.weight is not None:
        messages *= (adjacency.weight.long() - adjacency.weight_zero_point).unsqueeze(1)
    _write(messages.new_zeros(num_rows, x.columns).index_add_(0, row, messages), rescale, out)


def _write(sums: Tensor, rescale: Rescale | None, out: Tensor) -> None:
    if rescale is None:
        out.copy_(sums)
        return
    requantization = Requantization(
        rescale.multiplier, rescale.shift, rescale.row_shift, rescale.bias, rescale.range, rescale.zero_point
    )
    # The exponent of the rows' mantissas is already part of the shifts.
    row = None if rescale.row is None else FixedPoint(rescale.row.view(-1, 1), 0)
    out.copy_(PackedRows.pack(requantization(sums, row), rescale.range).data)
