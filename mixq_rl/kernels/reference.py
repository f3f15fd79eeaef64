"""The integer operations in plain torch."""

import torch
from torch import Tensor

__all__ = ["aggregate", "linear"]


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """See :func:`mixq_rl.kernels.linear`."""
    if 0 in (*x.shape, *weight.shape):
        return torch.zeros(x.shape[0], weight.shape[1], dtype=torch.int32, device=x.device)
    if x.dtype == torch.int8:
        return torch._int_mm(x, weight)
    # torch._int_mm takes signed bytes only: x = (x - 128) + 128, and flipping the top bit subtracts 128.
    signed = (x ^ 128).view(torch.int8)
    return torch._int_mm(signed, weight) + 128 * weight.sum(dim=0, dtype=torch.int32)


def aggregate(rowptr: Tensor, col: Tensor, weight: Tensor | None, x: Tensor) -> Tensor:
    """See :func:`mixq_rl.kernels.aggregate`."""
    num_rows = rowptr.numel() - 1
    row = torch.repeat_interleave(torch.arange(num_rows, device=x.device), rowptr.diff())
    messages = x.index_select(0, col).to(torch.int32)
    if weight is not None:
        messages *= weight.to(torch.int32).unsqueeze(1)
    sums = torch.zeros(num_rows, x.shape[1], dtype=torch.int32, device=x.device)
    return sums.index_add_(0, row, messages)
