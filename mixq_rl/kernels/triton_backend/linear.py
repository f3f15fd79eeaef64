"""Matrix products in Triton on int8 tensor cores: x is read packed and unpacked in registers."""

# Constants of a kernel are capitals, as in Triton's own; mypy knows no types for its arguments.
# ruff: noqa: N803
# mypy: disallow_untyped_defs=False, disallow_incomplete_defs=False
# mypy: disable-error-code="import-untyped,import-not-found"

from typing import NamedTuple, Self

import torch
import triton
import triton.language as tl
from torch import Tensor

from mixq_rl.kernels import reference
from mixq_rl.kernels.arguments import Matrix, Rescale
from mixq_rl.kernels.memory import Memory
from mixq_rl.kernels.triton_backend.launch import at_most, on_device, unit_bytes
from mixq_rl.kernels.triton_backend.result import UNSPECIALIZED, rescaling, write

__all__ = ["Tile", "linear"]

_LEAST_ROWS = 32
_PROGRAMS = 132  # the number of multiprocessors of an H100
_planes: Memory[tuple[Tensor, Tensor]] = Memory()


class Tile(NamedTuple):
    """Tile: the part of a product that one program computes.

    Attributes:
        rows: number of rows of x.
        columns: number of columns of the weight.
        bytes: number of bytes of a row of x that are multiplied at a time.
        warps: number of warps of the program.
    """

    rows: int
    columns: int
    bytes: int
    warps: int

    @classmethod
    def of(cls, num_rows: int, num_columns: int, row_bytes: int) -> Self:
        """Return a tile that gives all multiprocessors work, if there are enough rows."""
        rows, columns = max(16, at_most(num_rows, 64)), max(16, at_most(num_columns, 128))
        while rows > _LEAST_ROWS and -(-num_rows // rows) * -(-num_columns // columns) < _PROGRAMS:
            rows //= 2
        return cls(rows, columns, max(32, at_most(row_bytes, 64)), 4)


def linear(x: Matrix, weight: Matrix, rescale: Rescale | None, out: Tensor, tile: Tile | None = None) -> None:
    """See :class:`mixq_rl.kernels.library.Backend`; without ``tile``, the sizes choose one."""
    with on_device(out):
        if not out.numel():
            return
        num_rows, row_bytes = x.data.shape
        tile = tile or Tile.of(num_rows, weight.columns, row_bytes)
        key = (8 // x.bits, tile.bytes, tile.columns, *weight[1:])
        planes, total = _planes.recall(weight.data, key, lambda: _prepare(weight, *key[:3]))
        vector = unit_bytes(x.data, 16)
        flip = x.data.dtype == torch.uint8 and x.bits == 8
        column_blocks = planes.shape[1] // tile.columns
        _product[(-(-num_rows // tile.rows) * column_blocks,)](
            x.data.view(torch.uint8),
            planes,
            total,
            out if rescale is None else out.view(torch.uint8),
            num_rows,
            weight.columns,
            row_bytes // vector,
            planes.shape[1],
            planes.shape[2],
            step=x.step,
            offset=x.offset + 128 if flip else x.offset,
            **rescaling(rescale),
            VECTOR=vector,
            X_BITS=x.bits,
            FLIP=flip,
            BLOCK_ROWS=tile.rows,
            BLOCK_COLUMNS=tile.columns,
            BLOCK_BYTES=tile.bytes,
            num_warps=tile.warps,
        )


def _prepare(weight: Matrix, per_byte: int, block_bytes: int, block_columns: int) -> tuple[Tensor, Tensor]:
    """Return the weights in planes, and the sums of their columns: plane p has the weights of the p-th code of a byte.

    Returns:
        int8 ``[per_byte, columns, bytes of a row of x]``, padded with 0 to whole blocks, and the int32 sums of the
        columns.
    """
    values = reference.decode(weight).to(torch.int8)
    inputs, columns = values.shape
    more_inputs, more_columns = -inputs % (per_byte * block_bytes), -columns % block_columns
    values = torch.nn.functional.pad(values, (0, more_columns, 0, more_inputs))
    bytes_of_row = values.shape[0] // per_byte
    planes = values.view(bytes_of_row, per_byte, columns + more_columns).permute(1, 2, 0).contiguous()
    return planes, values.sum(0, dtype=torch.int32)


@triton.jit(do_not_specialize=(*UNSPECIALIZED, "num_rows"))
def _product(
    x,
    planes,
    total,
    out,
    num_rows,
    num_columns,
    row_vectors,
    plane_columns,
    plane_bytes,
    step,
    offset,
    multiplier,
    shift,
    row,
    row_shift,
    bias,
    zero_point,
    PER_COLUMN: tl.constexpr,
    BITS: tl.constexpr,
    SIGNED: tl.constexpr,
    VECTOR: tl.constexpr,
    X_BITS: tl.constexpr,
    FLIP: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
    BLOCK_BYTES: tl.constexpr,
):
    """Compute one tile of the product; with FLIP, bytes are unsigned, and flipping the top bit makes them signed."""
    # Tiles of the same rows are neighbours, so that x is read from memory once.
    column_blocks = plane_columns // BLOCK_COLUMNS
    # int64: rows times columns may pass 2^31.
    rows = (tl.program_id(0) // column_blocks).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    live = rows < num_rows
    first_column = tl.program_id(0) % column_blocks * BLOCK_COLUMNS
    columns = first_column + tl.arange(0, BLOCK_COLUMNS)
    row_bytes = row_vectors * VECTOR
    acc = tl.full((BLOCK_ROWS, BLOCK_COLUMNS), 0, tl.int32)
    for begin in range(0, row_bytes, BLOCK_BYTES):
        place = begin + tl.arange(0, BLOCK_BYTES)
        data = tl.load(
            x + rows[:, None] * row_bytes + place[None, :], mask=live[:, None] & (place < row_bytes)[None, :], other=0
        )
        if FLIP:
            data ^= 128
        for plane in tl.static_range(8 // X_BITS):
            codes = data
            if X_BITS < 8:
                codes = (data >> (plane * X_BITS)) & (2**X_BITS - 1)
            weight = tl.load(planes + (plane * plane_columns + columns)[None, :] * plane_bytes + place[:, None])
            acc = tl.dot(codes.to(tl.int8, bitcast=True), weight, acc, out_dtype=tl.int32)
    result = step * acc + offset * tl.load(total + columns)[None, :]
    write(
        result,
        rows,
        live,
        first_column,
        out,
        num_columns,
        multiplier,
        shift,
        row,
        row_shift,
        bias,
        zero_point,
        PER_COLUMN,
        BITS,
        SIGNED,
        BLOCK_ROWS,
        BLOCK_COLUMNS,
    )
