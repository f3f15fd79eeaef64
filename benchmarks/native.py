"""Compiles and calls ``native.cpp``."""

import ctypes
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["float_aggregate", "gather"]

_SOURCE = Path(__file__).with_suffix(".cpp")


@cache
def _library() -> ctypes.CDLL:
    target = Path(tempfile.mkdtemp()) / "native.so"
    options = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC", "-std=c++17"]
    subprocess.run(["g++", *options, str(_SOURCE), "-o", str(target)], check=True)  # noqa: S607  the one on the path
    library = ctypes.CDLL(str(target))
    library.gather.restype = ctypes.c_uint64
    return library


def float_aggregate(rowptr: Tensor, col: Tensor, weight: Tensor, x: Tensor, out: Tensor) -> None:
    """Aggregate in float32, scheduled and prefetched as the integer kernels are."""
    _library().float_aggregate(
        *(ctypes.c_void_p(tensor.data_ptr()) for tensor in (rowptr, col, weight, x, out)),
        ctypes.c_int64(rowptr.numel() - 1),
        ctypes.c_int64(x.shape[1]),
        torch.get_num_threads(),
    )


def gather(col: Tensor, x: Tensor) -> None:
    """Read the row of ``x`` (bytes, ``[nodes, row_bytes]``) that each edge names."""
    _library().gather(
        ctypes.c_void_p(col.data_ptr()),
        ctypes.c_void_p(x.data_ptr()),
        ctypes.c_int64(col.numel()),
        ctypes.c_int64(x.shape[1]),
        torch.get_num_threads(),
    )
