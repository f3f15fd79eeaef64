"""Sums over neighbours in float16 and float32 on a GPU, with the scheduling of the integer kernel."""

import ctypes
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from mixq_rl.kernels.cuda_backend.driver import Kernel, compile_cubin
from mixq_rl.kernels.partition import partition

__all__ = ["float_aggregate"]

_WARPS = 8
_POINTERS = (
    *("target", "start", "stop", "hub_row", "hub_chunks", "hub_sums", "hub_arrived"),
    *("col", "weight", "x", "out"),
)


class _Arguments(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in _POINTERS] + [
        (name, ctypes.c_int) for name in ("row_vectors", "chunks", "shared", "rows")
    ]


def float_aggregate(rowptr: Tensor, col: Tensor, weight: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
    """Return the sums over neighbours of ``x``.

    Args:
        rowptr: int32 ``[rows + 1]``.
        col: int32 ``[edges]``.
        weight: float16 or float32 ``[edges]``.
        x: as ``weight``, ``[nodes, features]``, rows of a multiple of 16 bytes.
        out: as ``x``, ``[rows, features]``: where to write the result; None: a new tensor.

    Raises:
        ValueError: for rows of another size, or another dtype.
    """
    if x.dtype not in (torch.float16, torch.float32) or weight.dtype != x.dtype:
        raise ValueError(f"{x.dtype} rows with {weight.dtype} weights: both must be float16, or float32")
    row_bytes = x.shape[1] * x.element_size()
    if row_bytes % 16:
        raise ValueError(f"rows of {row_bytes} bytes are no multiple of 16")
    out = x.new_empty(rowptr.numel() - 1, x.shape[1]) if out is None else out
    parts, vectors = partition(rowptr), row_bytes // 16
    lanes = 1
    while lanes < min(32, vectors):
        lanes *= 2
    blocks = -(-vectors // lanes)
    hubs, of_warps = parts.hubs.numel(), parts.num_chunks + parts.num_wide
    scratch = torch.zeros(hubs * (x.shape[1] + blocks), device=x.device)
    pieces = parts.pieces
    arguments = _Arguments(
        *(tensor.data_ptr() for tensor in (*pieces, parts.hubs, parts.hub_chunks, scratch)),
        scratch.data_ptr() + 4 * hubs * x.shape[1],
        *(tensor.data_ptr() for tensor in (col, weight, x, out)),
        vectors,
        parts.num_chunks,
        parts.num_wide,
        pieces.number - of_warps,
    )
    warps = of_warps + -(-(pieces.number - of_warps) // (32 // lanes))
    kernel = _kernel(x.dtype == torch.float16, lanes, x.get_device())
    stream = torch.cuda.current_stream(x.device).cuda_stream
    kernel.launch((-(-warps // _WARPS), blocks), 32 * _WARPS, arguments, stream)
    return out


@cache
def _kernel(half: bool, lanes: int, device: int) -> Kernel:
    source = (Path(__file__).parent / "float_aggregate.cu").read_text()
    defines = {"HALF": int(half), "LANES": lanes, "WARPS": _WARPS}
    cubin = compile_cubin(source, "float_aggregate.cu", defines, torch.cuda.get_device_capability(device))
    return Kernel(cubin, "float_aggregate", device)
