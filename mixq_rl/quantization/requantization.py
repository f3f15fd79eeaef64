"""Requantization: int32 sums to the bits of the next component, without floating point."""

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from mixq_rl.errors import ScaleError
from mixq_rl.quantization.fixed_point import FixedPoint
from mixq_rl.quantization.integer_range import IntegerRange, check_zero_point, within
from mixq_rl.quantization.qtensor import QTensor
from mixq_rl.storage.artifacts import storable

__all__ = ["FixedPointMap", "Requantization", "rounding_shift"]

_ROW_SHIFT = 30
_MULTIPLIER_LIMIT = 2**31


def rounding_shift(value: Tensor, shift: int | Tensor) -> Tensor:
    """Divide int64 ``value`` by 2^shift (shift >= 1, one number or int64), rounding half to even."""
    odd = (value >> shift) & 1
    return (value + ((1 << (shift - 1)) - 1) + odd) >> shift


@dataclass(frozen=True)
class FixedPointMap:
    """Base class of requantizations: the map (S * M + B) / 2^shift of int32 sums S, before rounding.

    M is ``multiplier`` or, where every row has a scale of its own, ``(row * multiplier) >> row_shift``. Subclasses
    round the map to integers of few bits. All have a ``range`` and a ``zero_point``, those of the result.

    Attributes:
        has_row: whether each row of the result gets a scale of its own.
        multiplier: int64 mantissas, ``[]`` or ``[columns]``, below 2^31.
        shift: number of bits behind the binary point of the product, from 1 to ``max_shift``.
        row_shift: number of bits by which the product with a row's mantissa is shifted right; 0 if rows have no scales.
        bias: int64 ``[columns]``, with ``shift`` bits behind the binary point, at most ``bias_limit`` steps, or None.

    Raises:
        TypeError: for multiplier or bias of another dtype.
        ValueError: for a multiplier, shift or bias out of bounds.
    """

    multiplier: Tensor
    shift: int
    row_shift: int
    bias: Tensor | None

    has_row: ClassVar[bool] = False
    max_shift: ClassVar[int] = 40
    bias_limit: ClassVar[int] = 2**12

    def __post_init__(self) -> None:
        if self.multiplier.dtype != torch.int64 or (self.bias is not None and self.bias.dtype != torch.int64):
            raise TypeError("multiplier and bias of a requantization are int64")
        if not 1 <= self.shift <= self.max_shift or not 0 <= self.row_shift < 64:
            raise ValueError(
                f"shift {self.shift} is outside 1...{self.max_shift}, or row shift {self.row_shift} outside 0...63"
            )
        if not within(self.multiplier, 0, _MULTIPLIER_LIMIT - 1) or self.multiplier.dim() > 1:
            raise ValueError("multipliers of a requantization are one or one a column, each at least 0 and below 2^31")
        bound = self.bias_limit << self.shift
        if self.bias is not None and not within(self.bias, -bound, bound):
            raise ValueError(f"a bias of a requantization is beyond {self.bias_limit} steps")

    @classmethod
    def fixed(
        cls, scale: Tensor, bias: Tensor | None, row_exponent: int | None
    ) -> tuple[Tensor, int, int, Tensor | None]:
        """Return the four attributes for ``S * scale + bias``; for arguments see :meth:`Requantization.from_scales`.

        Raises:
            ScaleError: if scales or bias are so far apart that fixed-point numbers cannot join them.
        """
        exponent = FixedPoint.exponent_for(float(scale.max()))
        row_shift = 0
        if row_exponent is None:
            shift = exponent = min(exponent, cls.max_shift)
        else:
            shift = row_exponent + exponent - _ROW_SHIFT
            row_shift = _ROW_SHIFT + max(0, shift - cls.max_shift)
            shift = min(shift, cls.max_shift)
        if shift < 1:
            raise ScaleError(f"scale {float(scale.max()):.4g} of a sum over its result's is too large for fixed point")
        mantissas = FixedPoint.nearest(scale, exponent).mantissa.to(torch.int64)
        fixed_bias = None
        if bias is not None:
            if not bool((bias.abs() < cls.bias_limit).all()):
                raise ScaleError(f"bias of {float(bias.abs().max()):.4g} steps is too large for fixed point")
            fixed_bias = torch.round(bias.double() * 2.0**shift).to(torch.int64)
        return mantissas, shift, row_shift, fixed_bias

    def check_rows(self, has_row: bool) -> None:
        """Check that ``row_shift`` brings products with the rows' mantissas, below 2^31, back to 32 bits.

        Args:
            has_row: whether the sums' rows have scales.

        Raises:
            ValueError: naming the row shift.
        """
        if has_row and self.row_shift < _ROW_SHIFT:
            raise ValueError(
                f"row shift {self.row_shift} of a requantization of rows with scales is below {_ROW_SHIFT}"
            )

    def multipliers(self, row: FixedPoint | None) -> Tensor:
        """Return the integer multipliers M, of the shape of ``multiplier`` or, with row scales, ``[rows, columns]``."""
        if row is None:
            return self.multiplier
        return (row.mantissa.to(torch.int64) * self.multiplier) >> self.row_shift

    def products(self, sums: Tensor, row: FixedPoint | None) -> Tensor:
        """Return S * M + B, int64 ``[rows, columns]``."""
        value = sums.to(torch.int64) * self.multipliers(row)
        return value if self.bias is None else value + self.bias

    def quantized(self, sums: Tensor, scale: Tensor, row: FixedPoint | None = None) -> QTensor:
        """Requantize sums to a packed matrix.

        Args:
            sums: int32 ``[rows, columns]``.
            scale: float64 scalar, the scale of the result.
            row: fixed-point scales of the sums' rows, or None.
        """
        raise NotImplementedError


@storable
@dataclass(frozen=True)
class Requantization(FixedPointMap):
    """Requantization to one scale for all rows: int32 sums S to q = clamp(round((S * M + B) / 2^shift) + z).

    The product is 64 bits wide and cannot overflow: |S| <= 2^31, M < 2^31, |B| <= 2^52. Results within the range are
    exact in float64 too: ``shift`` is at most 40 and the bias at most 2^12 steps, so their products stay below 2^53.
    For that reason the fake-quantized network agrees to the last bit.

    Attributes:
        range: range of the result's integers.
        zero_point: added after rounding.

    Raises:
        TypeError: for multiplier or bias of another dtype.
        ValueError: for a multiplier, shift, bias or zero point out of bounds.
    """

    range: IntegerRange
    zero_point: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_zero_point(self.zero_point)

    @classmethod
    def from_scales(
        cls,
        scale: Tensor,
        bias: Tensor | None,
        row_exponent: int | None,
        offered: IntegerRange,
        zero_point: int,
    ) -> "Requantization":
        """Build the fixed-point form of ``S * scale + bias`` (in steps of the result).

        Args:
            scale: float64 ``[]`` or ``[columns]``, the scale of the sums divided by the scale of the result.
            bias: float64 ``[columns]`` in steps of the result, or None.
            row_exponent: exponent of the rows' fixed-point scales, or None if rows have no scales.
            offered: range of the result's integers.
            zero_point: zero point of the result.

        Raises:
            ScaleError: if scales or bias are so far apart that fixed-point numbers cannot join them.
        """
        return cls(*cls.fixed(scale, bias, row_exponent), offered, zero_point)

    @property
    def uniform(self) -> Self:
        """This requantization: all rows of its result share one scale, so a kernel can apply it to its sums."""
        return self

    def quantized(self, sums: Tensor, scale: Tensor, row: FixedPoint | None = None) -> QTensor:
        return QTensor.pack(self(sums, row), self.range, scale, self.zero_point)

    def __call__(self, sums: Tensor, row: FixedPoint | None = None) -> Tensor:
        """Return int32 ``sums`` ``[rows, columns]``, requantized: int8 (signed) or uint8 (unsigned)."""
        value = self.products(sums, row)
        if self.range.is_sign:
            return torch.where(value >= 0, 1, -1).to(self.range.dtype)
        rounded = rounding_shift(value, self.shift) + self.zero_point
        return rounded.clamp(self.range.minimum, self.range.maximum).to(self.range.dtype)
