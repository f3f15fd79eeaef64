"""The integer operations on NVIDIA GPUs: sums over neighbours in CUDA C++, products in Triton.

A :class:`mixq_rl.kernels.library.Backend`. NVRTC, which torch's CUDA builds bring, compiles the CUDA C++ when it is
first used. Where it cannot, and for edge weights with a zero point, Triton's kernel sums.
"""

import warnings

import torch
from torch import Tensor

from mixq_rl.kernels.arguments import CSRMatrix, Matrix, Rescale
from mixq_rl.kernels.cuda_backend import launch
from mixq_rl.kernels.cuda_backend.driver import UnavailableError

__all__ = ["aggregate", "linear", "why_unavailable"]

# Why the CUDA C++ cannot be used, once that was found out.
_unavailable: list[str] = []


def why_unavailable() -> str:
    """Return why the CUDA C++ could not be used when it was to sum; empty: it could, or was not asked to."""
    return _unavailable[0] if _unavailable else ""


def linear(x: Matrix, weight: Matrix, rescale: Rescale | None, out: Tensor) -> None:
    """See :class:`mixq_rl.kernels.library.Backend`."""
    from mixq_rl.kernels import triton_backend

    triton_backend.linear(x, weight, rescale, out)


def aggregate(adjacency: CSRMatrix, x: Matrix, rescale: Rescale | None, out: Tensor) -> None:
    """See :class:`mixq_rl.kernels.library.Backend`."""
    if adjacency.weight_zero_point or _unavailable or not _launched(adjacency, x, rescale, out):
        from mixq_rl.kernels import triton_backend

        triton_backend.aggregate(adjacency, x, rescale, out)


def _launched(adjacency: CSRMatrix, x: Matrix, rescale: Rescale | None, out: Tensor) -> bool:
    """Launch the CUDA C++, and return whether it could be compiled and loaded; say so once where it could not."""
    try:
        with torch.cuda.device_of(out):
            launch.aggregate(adjacency, x, rescale, out)
    except UnavailableError as error:
        _unavailable.append(str(error))
        warnings.warn(
            f"the CUDA C++ kernels cannot be used ({error}): Triton sums over neighbours, which is slower",
            RuntimeWarning,
            stacklevel=4,
        )
        return False
    return True
