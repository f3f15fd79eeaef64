"""CUDA backend for NVIDIA GPUs: sums over neighbours in CUDA C++, products in Triton.

See :class:`mixq_rl.kernels.library.Backend`. NVRTC, which is part of torch's CUDA builds, compiles the CUDA C++ at the
first use. If that fails, and for edge weights with a zero point, Triton's kernel computes the sums.
"""

import warnings

import torch
from torch import Tensor

from mixq_rl.kernels.arguments import CSRMatrix, Matrix, Rescale
from mixq_rl.kernels.cuda_backend import launch
from mixq_rl.kernels.cuda_backend.driver import UnavailableError
from mixq_rl.kernels.indices import checked_copy

__all__ = ["aggregate", "linear", "why_unavailable"]

# Reasons why the CUDA C++ cannot be used, found at its first use.
_unavailable: list[str] = []


def why_unavailable() -> str:
    """Return why the CUDA C++ could not be used; empty if it could, or was never called."""
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
    """Launch the CUDA C++ and return whether it could be compiled and loaded; warn once if it could not."""
    try:
        with torch.cuda.device_of(out):
            col = checked_copy(adjacency.rowptr, adjacency.col, x.data.shape[0])
            launch.aggregate(adjacency._replace(col=col), x, rescale, out)
    except UnavailableError as error:
        _unavailable.append(str(error))
        warnings.warn(
            f"the CUDA C++ kernels cannot be used ({error}): Triton sums over neighbours, which is slower",
            RuntimeWarning,
            stacklevel=4,
        )
        return False
    return True
