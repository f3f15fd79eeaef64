"""A program that runs every CPU kernel on operands each of which ends where readable memory ends.

A read past the end of any of them kills the process: ``test_cpu.py`` looks whether it survives.
"""

import ctypes
import mmap
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from mixq_rl import kernels
from mixq_rl.kernels.arguments import Matrix
from mixq_rl.kernels.cpu import Engine
from mixq_rl.quantization import FixedPoint, IntegerRange, PackedRows, Quantizer, Requantization

LIBC = ctypes.CDLL(None, use_errno=True)
KEPT: list[mmap.mmap] = []
EMPTY = torch.empty


def guarded(tensor: Tensor) -> Tensor:
    """Copy a tensor to memory whose next byte may be neither read nor written."""
    tensor = tensor.contiguous()
    size = tensor.numel() * tensor.element_size()
    room = -(-max(size, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, room + mmap.PAGESIZE)
    KEPT.append(memory)
    fence = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + room
    if LIBC.mprotect(ctypes.c_void_p(fence), ctypes.c_size_t(mmap.PAGESIZE), 0):
        raise OSError(ctypes.get_errno(), "mprotect")
    if not size:
        return tensor
    copy = torch.frombuffer(memory, dtype=tensor.dtype, count=tensor.numel(), offset=room - size).view(tensor.shape)
    return copy.copy_(tensor)


def operands(rows: int, width: int, offered: IntegerRange) -> PackedRows:
    data = torch.randint(0, 256, (rows, offered.row_bytes(width)), dtype=torch.uint8).view(offered.storage_dtype)
    return PackedRows(guarded(data), width, offered)


def main() -> None:
    torch.manual_seed(0)
    for backend in kernels.backends():
        engine = None if backend == "reference" else Engine(backend)
        with kernels.using(backend):
            for bits in (1, 2, 4, 8):
                for width in (1, 2, 3, 5, 15, 16, 17, 63, 64, 65, 100, 129, 257, 300):
                    for rows in (1, 2, 3, 7, 50):
                        run(engine, rows, width, bits)
                        quantize(rows, width, bits)
            KEPT.clear()


def run(engine: Engine | None, rows: int, width: int, bits: int) -> None:
    x, offered = operands(rows, width, IntegerRange(bits, True)), IntegerRange(bits, False)
    edges = 3 * rows
    rowptr = guarded(torch.arange(0, edges + 1, 3, dtype=torch.int32))
    col = guarded(torch.randint(0, rows, (edges,), dtype=torch.int32))
    alpha = guarded(torch.randint(0, 256, (edges,), dtype=torch.uint8))
    row = FixedPoint(guarded(torch.full((rows, 1), 2**29, dtype=torch.int32)), 30)

    def requantization(columns: int) -> Requantization:
        multiplier = guarded(torch.full((columns,), 2**29))
        return Requantization(multiplier, 35, 30, guarded(torch.ones(columns, dtype=torch.int64)), offered, 0)

    out = guarded(torch.empty(rows, width, dtype=torch.int32))
    kernels.aggregate(rowptr, col, alpha, x, out=out, weight_zero_point=3)
    kernels.aggregate_requantize(rowptr, col, alpha, x, requantization(width), row=row)
    outputs = min(width, 33)
    weight = operands(width, outputs, IntegerRange(bits, True))
    kernels.linear(x, weight, out=guarded(torch.empty(rows, outputs, dtype=torch.int32)))
    kernels.linear_requantize(x, weight, requantization(outputs), row=row)
    if engine is not None and engine.is_bit_serial:
        for few in (1, 2, 4):
            if bits < 8 and bits * few <= 8:
                weight = operands(width, outputs, IntegerRange(few, True))
                out = guarded(torch.empty(rows, outputs, dtype=torch.int32))
                engine.linear_by_bits(Matrix.of(x), Matrix.of(weight), None, out)


def quantize(rows: int, width: int, bits: int) -> None:
    """Quantize features; the memory of results is guarded too."""

    def empty(*shape: Any, **options: Any) -> Tensor:
        return guarded(EMPTY(*shape, **options))

    offered = IntegerRange(bits, rows % 2 == 0)
    for dtype in (torch.float32, torch.float64):
        x = torch.randn(rows, width, dtype=dtype) * (torch.rand(rows, width) < 0.3)
        sparse = x.to_sparse_coo()
        sparse = torch.sparse_coo_tensor(
            guarded(sparse.indices()), guarded(sparse.values()), x.shape, check_invariants=True
        )
        for scale, exponent in ((torch.ones(()), None), (torch.ones(width), None), (torch.ones(()), 20)):
            quantizer = Quantizer(offered, guarded(scale.double().view(-1)).view(scale.shape), 0, exponent)
            with patch.object(torch, "empty", empty):
                kernels.quantize(guarded(x), quantizer)
                kernels.quantize(sparse, quantizer)


if __name__ == "__main__":
    main()
