"""The integer operations on NVIDIA GPUs: sums over neighbours in CUDA C++, products in Triton.

A :class:`mixq_rl.kernels.library.Backend`. NVRTC, which torch's CUDA builds bring, compiles the CUDA C++ when it is
first used. Where it cannot, and for edge weights with a zero point, Triton's kernel sums.
"""

import warnings

import torch
from torch import Tensor

from mixq_rl.kernels.arguments import Graph, Matrix, Rescale
from mixq_rl.kernels.cuda_backend import launch
from mixq_rl.kernels.cuda_backend.driver import CudaError

__all__ = ["aggregate", "linear"]

_unavailable: set[str] = set()


def linear(x: Matrix, weight: Matrix, rescale: Rescale | None, out: Tensor) -> None:
    """See :class:`mixq_rl.kernels.library.Backend`."""
    from mixq_rl.kernels import triton_backend

    triton_backend.linear(x, weight, rescale, out)


def aggregate(graph: Graph, x: Matrix, rescale: Rescale | None, out: Tensor) -> None:
    """See :class:`mixq_rl.kernels.library.Backend`."""
    if graph.weight_zero_point == 0 and not _unavailable:
        try:
            with torch.cuda.device_of(out):
                launch.aggregate(graph, x, rescale, out)
        except CudaError as error:
            _unavailable.add(str(error))
            warnings.warn(
                f"the CUDA C++ kernels cannot be used ({error}): Triton sums over neighbours, which is slower",
                RuntimeWarning,
                stacklevel=2,
            )
        else:
            return
    from mixq_rl.kernels import triton_backend

    triton_backend.aggregate(graph, x, rescale, out)
