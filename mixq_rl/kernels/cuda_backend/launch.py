"""Launch of the sums over neighbours in CUDA C++: choice of the specialisation, grid and arguments."""

import ctypes
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import torch
from torch import Tensor

from mixq_rl.kernels.arguments import CSRMatrix, Matrix, Rescale
from mixq_rl.kernels.cuda_backend.driver import Kernel, compile_cubin
from mixq_rl.kernels.partition import CHUNK, NARROW, Partition, partition

__all__ = ["Arguments", "Specialization", "aggregate", "compiled", "kernel", "launch"]

_COLUMNS = 16  # of a lane, as the kernel has it
_WARPS = 4
# Number of blocks that fit the registers of a multiprocessor.
_BLOCKS = {8: 5, 4: 6, 2: 6, 1: 6}

_SOURCES = ("rows.cuh", "result.cuh", "aggregate.cu")
"""Parts of the program, in their order."""

_POINTERS = (
    *("target", "start", "stop", "hub_row", "hub_chunks", "hub_sums", "hub_arrived"),
    *("col", "weight", "x", "out", "multiplier", "row", "bias"),
)
_SIZES = ("row_bytes", "out_row_bytes")
_NUMBERS = (
    *("chunks", "shared", "rows", "columns", "step", "offset", "per_column", "shift", "row_shift", "zero_point"),
    *("lowest", "highest", "out_bits", "is_sign", "out_aligned"),
)


class Arguments(ctypes.Structure):
    """Arguments of a launch; ``rows.cuh`` describes the fields."""

    _fields_ = (
        [(name, ctypes.c_void_p) for name in _POINTERS]
        + [(name, ctypes.c_longlong) for name in _SIZES]
        + [(name, ctypes.c_int) for name in _NUMBERS]
    )


class Specialization(NamedTuple):
    """Constants that the kernel is compiled with; ``aggregate.cu`` describes the fields."""

    x_bits: int
    x_signed: bool
    weight: int
    lanes: int
    unit: int
    warps: int
    blocks: int

    @classmethod
    def of(cls, adjacency: CSRMatrix, x: Matrix) -> "Specialization":
        """Return the specialisation for these operands.

        Args:
            adjacency: contiguous tensors.
            x: contiguous tensor with at least one column.
        """
        lanes = 1
        while lanes < 32 and lanes * _COLUMNS < x.columns:
            lanes *= 2
        weight = 0 if adjacency.weight is None else 1 if adjacency.weight.dtype == torch.uint8 else 2
        whole = unit = _COLUMNS * x.bits // 8
        while x.data.shape[1] % unit or x.data.data_ptr() % unit:
            unit //= 2
        if unit < 4 <= whole:
            unit = 1  # rows are not aligned: the kernel loads aligned words and shifts them
        return cls(x.bits, x.data.dtype == torch.int8, weight, lanes, unit, _WARPS, _BLOCKS[x.bits])

    def grid(self, parts: Partition, columns: int, multiprocessors: int) -> tuple[int, int]:
        """Return the number of blocks: as many as run at a time, or fewer if there is less work."""
        of_warps = parts.num_chunks + parts.num_wide
        narrow = parts.pieces.number - of_warps
        warps = of_warps + -(-narrow // (32 // self.lanes))
        of_columns = -(-columns // (self.lanes * _COLUMNS))
        at_a_time = -(-multiprocessors * self.blocks // of_columns)
        return min(-(-warps // self.warps), at_a_time), of_columns


def aggregate(adjacency: CSRMatrix, x: Matrix, rescale: Rescale | None, out: Tensor) -> None:
    """See :class:`mixq_rl.kernels.library.Backend`. The weights' zero point is 0."""
    if out.numel():  # there is no specialisation for rows without columns
        launch(Specialization.of(adjacency, x), adjacency, x, rescale, out)


def launch(
    how: Specialization,
    adjacency: CSRMatrix,
    x: Matrix,
    rescale: Rescale | None,
    out: Tensor,
    *,
    narrow: int = NARROW,
    chunk: int = CHUNK,
) -> None:
    """Execute one specialisation; ``narrow`` and ``chunk`` are those of the partition.

    Raises:
        UnavailableError: if it cannot be compiled or loaded.
        CudaError: if it cannot be launched.
    """
    if not out.numel():
        return
    device = out.get_device()
    parts = partition(adjacency.rowptr, adjacency.col.shape[0], narrow, chunk)
    grid = how.grid(parts, x.columns, multiprocessors(device))
    arguments = _arguments(adjacency, x, rescale, out, parts)
    hubs = parts.hubs.numel()
    if hubs:
        # One tensor of zeros for the sums of the warps and for the number of finished warps.
        scratch = torch.zeros(hubs * (x.columns + grid[1]), dtype=torch.int32, device=out.device)
        arguments.hub_row, arguments.hub_chunks = parts.hubs.data_ptr(), parts.hub_chunks.data_ptr()
        arguments.hub_sums = scratch.data_ptr()
        arguments.hub_arrived = scratch.data_ptr() + 4 * hubs * x.columns
    aligned = 16 if rescale is None else _COLUMNS * rescale.range.storage_bits // 8
    whole = out.shape[1] * out.element_size() % aligned == 0
    arguments.out_aligned = whole and out.data_ptr() % min(aligned, 16) == 0
    stream = torch.cuda.current_stream(device).cuda_stream if out.is_cuda else 0
    kernel(how, device).launch(grid, 32 * how.warps, arguments, stream)


def _arguments(adjacency: CSRMatrix, x: Matrix, rescale: Rescale | None, out: Tensor, parts: Partition) -> Arguments:
    arguments = Arguments(
        target=parts.pieces.target.data_ptr(),
        start=parts.pieces.start.data_ptr(),
        stop=parts.pieces.stop.data_ptr(),
        col=adjacency.col.data_ptr(),
        weight=_address(adjacency.weight),
        x=x.data.data_ptr(),
        out=out.data_ptr(),
        row_bytes=x.data.shape[1],
        out_row_bytes=out.shape[1] * out.element_size(),
        chunks=parts.num_chunks,
        shared=parts.num_wide,
        rows=parts.pieces.number - parts.num_chunks - parts.num_wide,
        columns=x.columns,
        step=x.step,
        offset=x.offset,
    )
    if rescale is not None:
        offered = rescale.range
        arguments.multiplier = rescale.multiplier.data_ptr()
        arguments.row, arguments.bias = _address(rescale.row), _address(rescale.bias)
        arguments.per_column = rescale.multiplier.numel() > 1
        arguments.shift, arguments.row_shift = rescale.shift, rescale.row_shift
        arguments.zero_point = rescale.zero_point
        arguments.lowest, arguments.highest = offered.minimum, offered.maximum
        arguments.out_bits, arguments.is_sign = offered.storage_bits, offered.is_sign
    return arguments


@cache
def multiprocessors(device: int) -> int:
    """Return the number of multiprocessors of a device."""
    return torch.cuda.get_device_properties(device).multi_processor_count


@cache
def kernel(how: Specialization, device: int) -> Kernel:
    """Return the kernel compiled for a device; the first call for a specialisation takes part of a second.

    Raises:
        UnavailableError: if it cannot be compiled or loaded.
    """
    return Kernel(compiled(how, torch.cuda.get_device_capability(device)), "aggregate", device)


@cache
def compiled(how: Specialization, capability: tuple[int, int]) -> bytes:
    """Return the machine code of a specialisation for a compute capability.

    Raises:
        UnavailableError: if it cannot be compiled.
    """
    return compile_cubin(source(), "aggregate.cu", defines(how), capability)


def source() -> str:
    """Return the source program of all specialisations."""
    folder = files("mixq_rl.kernels.cuda_backend")
    return "\n".join(folder.joinpath(name).read_text() for name in _SOURCES)


def defines(how: Specialization) -> dict[str, int]:
    """Return the preprocessor's definitions for a specialisation."""
    return {name.upper(): int(value) for name, value in how._asdict().items()}


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()
