"""Triton backend for NVIDIA GPUs; see :class:`mixq_rl.kernels.library.Backend`.

With ``TRITON_INTERPRET=1`` in the environment before the first import, Triton's interpreter executes the same kernels
on tensors of the CPU. It is slow and meant for tests.
"""

# mypy: disable-error-code="import-untyped,import-not-found"

from mixq_rl.errors import InputError

try:
    import triton  # noqa: F401
except ImportError as error:
    raise InputError("CUDA tensors are executed by Triton, which is not installed: pip install triton") from error

from mixq_rl.kernels.triton_backend.aggregate import aggregate
from mixq_rl.kernels.triton_backend.linear import linear

__all__ = ["aggregate", "linear"]
