"""Launch of Triton's kernels: supported devices, and widths of loads."""

# mypy: disable-error-code="import-untyped,import-not-found"

import math
from contextlib import AbstractContextManager

import torch
import triton
from torch import Tensor

from mixq_rl.errors import InputError

__all__ = ["at_most", "on_device", "unit_bytes"]

# The decorator of a kernel chooses compilation or interpretation, when this package is imported.
_INTERPRETED: bool = triton.knobs.runtime.interpret


def on_device(out: Tensor) -> AbstractContextManager[object]:
    """Make the device of ``out`` the one that Triton launches on.

    Raises:
        InputError: for a tensor of the CPU, unless kernels are interpreted.
    """
    if not out.is_cuda and not _INTERPRETED:
        raise InputError(
            "Triton executes CUDA tensors, not those of the CPU: choose another backend, or set TRITON_INTERPRET=1 "
            "before mixq_rl's Triton kernels are imported"
        )
    guard: AbstractContextManager[object] = torch.cuda.device_of(out)
    return guard


def unit_bytes(data: Tensor, limit: int) -> int:
    """Return the width of loads in bytes, a power of two up to ``limit``, that every row of ``data`` is aligned to."""
    return math.gcd(data.shape[1], data.storage_offset(), data.data_ptr(), limit)


def at_most(number: int, limit: int) -> int:
    """Return the least power of two not below ``number``, at most ``limit``, which is a power of two too."""
    return min(1 << max(0, number - 1).bit_length(), limit)
