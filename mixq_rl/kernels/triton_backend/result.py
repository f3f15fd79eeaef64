"""Output of every kernel: int32 sums in registers are written as int32, or requantized and packed."""

# Constants of a kernel are capitals, as in Triton's own; mypy knows no types for its arguments.
# ruff: noqa: N803, N806
# mypy: disallow_untyped_defs=False, disallow_incomplete_defs=False
# mypy: disable-error-code="import-untyped,import-not-found"

from typing import Any

import triton
import triton.language as tl

from mixq_rl.kernels.arguments import Rescale

__all__ = ["UNSPECIALIZED", "rescaling", "write"]

UNSPECIALIZED = ("shift", "row_shift", "zero_point", "step", "offset")


def rescaling(rescale: Rescale | None) -> dict[str, Any]:
    """Return the arguments of a kernel for the requantization of its sums."""
    if rescale is None:
        rescaled = dict.fromkeys(("multiplier", "row", "bias"))
        return {
            **rescaled,
            "shift": 1,
            "row_shift": 0,
            "zero_point": 0,
            "PER_COLUMN": False,
            "BITS": 0,
            "SIGNED": False,
        }
    return {
        "multiplier": rescale.multiplier,
        "shift": rescale.shift,
        "row": rescale.row,
        "row_shift": rescale.row_shift,
        "bias": rescale.bias,
        "zero_point": rescale.zero_point,
        "PER_COLUMN": rescale.multiplier.numel() > 1,
        "BITS": rescale.bits,
        "SIGNED": rescale.signed,
    }


@triton.jit
def _greater(left, right):
    return tl.maximum(left, right)


@triton.jit
def write(
    sums,  # int32 [R, C]
    rows,  # int64 [R]
    live,  # bool [R]
    first,
    out,
    num_columns,
    multiplier,
    shift,
    row,
    row_shift,
    bias,
    zero_point,
    PER_COLUMN: tl.constexpr,
    BITS: tl.constexpr,
    SIGNED: tl.constexpr,
    R: tl.constexpr,
    C: tl.constexpr,
):
    """Write a tile whose first column is ``first``, a multiple of 8; int32 where BITS is 0."""
    columns = first + tl.arange(0, C)
    inside = columns < num_columns
    if BITS == 0:
        place = rows[:, None] * num_columns + columns[None, :]
        tl.store(out + place, sums, mask=live[:, None] & inside[None, :])
    else:
        STORAGE: tl.constexpr = BITS if BITS <= 2 else (4 if BITS <= 4 else 8)
        LOWEST: tl.constexpr = -(2 ** (BITS - 1)) if SIGNED else 0
        HIGHEST: tl.constexpr = LOWEST + 2**BITS - 1
        factor = tl.load(multiplier + columns * PER_COLUMN, mask=inside, other=0).to(tl.int64)
        greatest = tl.reduce(factor, 0, _greater)
        if row is not None:
            row_factor = tl.load(row + rows, mask=live, other=0).to(tl.int64)
            greatest = (greatest * tl.reduce(row_factor, 0, _greater)) >> row_shift
        half = (tl.full((), 1, tl.int64) << (shift - 1)) - 1
        if (shift >= 32) & (greatest < 2147483648):
            # One instruction multiplies factors of 32 bits. The bits to round are in the upper half of the product.
            scale = factor.to(tl.int32)[None, :]
            if row is not None:
                scale = ((row_factor.to(tl.int32).to(tl.int64)[:, None] * scale.to(tl.int64)) >> row_shift).to(tl.int32)
            product = sums.to(tl.int64) * scale.to(tl.int64)
            if bias is not None:
                product += tl.load(bias + columns, mask=inside, other=0)[None, :]
            if SIGNED and BITS == 1:
                codes = (product >= 0).to(tl.int32)
            else:
                odd = ((product >> 32).to(tl.int32) >> (shift - 32)) & 1
                upper = ((product + half + odd) >> 32).to(tl.int32)
                codes = tl.minimum(tl.maximum((upper >> (shift - 32)) + zero_point, LOWEST), HIGHEST)
        else:
            wide = factor[None, :]
            if row is not None:
                wide = (row_factor[:, None] * wide) >> row_shift
            value = sums.to(tl.int64) * wide
            if bias is not None:
                value += tl.load(bias + columns, mask=inside, other=0)[None, :]
            if SIGNED and BITS == 1:
                codes = (value >= 0).to(tl.int32)
            else:
                rounded = ((value + half + ((value >> shift) & 1)) >> shift) + zero_point
                codes = tl.minimum(tl.maximum(rounded, LOWEST), HIGHEST).to(tl.int32)
        if STORAGE < 8 and not (SIGNED and BITS == 1):
            codes -= LOWEST
        PER: tl.constexpr = 8 // STORAGE
        if PER > 1:
            codes = tl.where(inside[None, :], codes, 0)
            codes = tl.reshape(codes, (R, C // PER, PER)) << (tl.arange(0, PER) * STORAGE)[None, None, :]
            # Another package may import triton first, which binds tl.sum to compilation or interpretation.
            codes = tl.reduce(codes, 2, tl.standard._sum_combine)
        width = (num_columns + PER - 1) // PER
        at = first // PER + tl.arange(0, C // PER)
        place = rows[:, None] * width + at[None, :]
        tl.store(out + place, codes.to(tl.uint8), mask=live[:, None] & (at < width)[None, :])
