"""Dequantization: integers to the real numbers that they stand for, native on a CPU."""

import torch
from torch import Tensor

from mixq_rl.extents import check_held
from mixq_rl.kernels.arguments import Matrix
from mixq_rl.kernels.library import cpu_engine, is_plain
from mixq_rl.quantization import QTensor

__all__ = ["dequantize"]

_NATIVE = (torch.float32, torch.float64)


def dequantize(x: QTensor, dtype: torch.dtype) -> Tensor:
    """Return what ``x.dequantize().to(dtype)`` returns, ``[rows, columns]``.

    On a CPU, integers with one scale take one pass over memory if the result is float32 or float64.
    """
    engine = cpu_engine() if x.payload.data.device.type == "cpu" and is_plain() else None
    if engine is None or dtype not in _NATIVE or x.row is not None or x.scale.dim():
        return x.dequantize().to(dtype)
    matrix = Matrix.of(x.payload, x.zero_point).contiguous()
    matrix.check("x")
    check_held((("x", matrix.data),))
    out = torch.empty(x.shape, dtype=dtype, device="cpu")
    run = engine.extension.dequantize_float if dtype == torch.float32 else engine.extension.dequantize_double
    run(engine.matrix(matrix), float(x.scale), out.data_ptr(), torch.get_num_threads())
    return out
