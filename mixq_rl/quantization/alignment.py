"""Alignment: sums of values with different scales, without floating point."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from mixq_rl.errors import ScaleError
from mixq_rl.quantization.fixed_point import FixedPoint
from mixq_rl.quantization.integer_range import IntegerRange, check_zero_point, within
from mixq_rl.quantization.qtensor import QTensor
from mixq_rl.quantization.requantization import rounding_shift
from mixq_rl.storage.artifacts import storable

__all__ = ["Alignment", "FixedPointSum"]

_MULTIPLIER_LIMIT = 2**31


@dataclass(frozen=True)
class FixedPointSum:
    """Base class of alignments: (sum_k v_k * M_k + B) / 2^shift of centred integers v_k = q_k - z_k, before rounding.

    Subclasses round the sum over the k sources to integers of few bits. All have a ``range`` and a ``zero_point``,
    those of the result.

    Attributes:
        has_row: whether each row of the result gets a scale of its own.
        multipliers: int64 mantissas, one tensor for each source, ``[]`` or ``[columns]``, of either sign.
        shift: number of bits behind the binary point, from 1 to ``max_shift``.
        bias: int64 ``[columns]``, with ``shift`` bits behind the binary point, at most ``bias_limit`` steps, or None.

    Raises:
        TypeError: for multipliers or a bias of another dtype.
        ValueError: for entries out of bounds.
    """

    multipliers: tuple[Tensor, ...]
    shift: int
    bias: Tensor | None

    has_row: ClassVar[bool] = False
    max_shift: ClassVar[int] = 40
    bias_limit: ClassVar[int] = 2**12

    def __post_init__(self) -> None:
        for mantissas in (*self.multipliers, *([] if self.bias is None else [self.bias])):
            if mantissas.dtype != torch.int64 or mantissas.dim() > 1:
                raise TypeError("multipliers and bias of an alignment are int64, one or one a column")
        if not 1 <= self.shift <= self.max_shift:
            raise ValueError(f"shift {self.shift} is outside 1...{self.max_shift}")
        limit = _MULTIPLIER_LIMIT - 1
        if not self.multipliers or not all(within(mantissas, -limit, limit) for mantissas in self.multipliers):
            raise ValueError("multipliers of an alignment, one for each source, are below 2^31 in magnitude")
        bound = self.bias_limit << self.shift
        if self.bias is not None and not within(self.bias, -bound, bound):
            raise ValueError(f"a bias of an alignment is beyond {self.bias_limit} steps")

    @classmethod
    def fixed(cls, scales: Sequence[Tensor], bias: Tensor | None) -> tuple[tuple[Tensor, ...], int, Tensor | None]:
        """Return the three attributes; see :meth:`Alignment.from_scales` for the arguments.

        Raises:
            ScaleError: if scales or bias are so far apart that fixed-point numbers cannot join them.
        """
        greatest = max(float(scale.abs().max()) for scale in scales)
        shift = min(FixedPoint.exponent_for(greatest or 1.0), cls.max_shift)
        if shift < 1:
            raise ScaleError(f"scale {greatest:.4g} of a value over that of the sum is too large for fixed point")
        if bias is not None and not bool((bias.abs() < cls.bias_limit).all()):
            raise ScaleError(f"bias of {float(bias.abs().max()):.4g} steps is too large for fixed point")
        mantissas = tuple(torch.round(scale.double() * 2.0**shift).to(torch.int64) for scale in scales)
        fixed_bias = None if bias is None else torch.round(bias.double() * 2.0**shift).to(torch.int64)
        return mantissas, shift, fixed_bias

    def total(self, centred: Sequence[Tensor]) -> Tensor:
        """Return the sum of all v_k * M_k and B, int64 ``[rows, columns]``."""
        terms = zip(centred, self.multipliers, strict=True)
        value = torch.stack([values.to(torch.int64) * multiplier for values, multiplier in terms]).sum(dim=0)
        return value if self.bias is None else value + self.bias

    def quantized(self, centred: Sequence[Tensor], scale: Tensor) -> QTensor:
        """Align and add values to a packed matrix.

        Args:
            centred: integers of any dtype, ``[rows, columns]``, one tensor for each source.
            scale: float64 scalar, the scale of the result.
        """
        raise NotImplementedError


@storable
@dataclass(frozen=True)
class Alignment(FixedPointSum):
    """Alignment to one scale for all rows: q = clamp(round((sum_k v_k * M_k + B) / 2^shift) + z).

    Results within the range are exact in float64 too: centred integers of at most 8 bits and a zero point take 10 bits,
    multipliers 31.

    Attributes:
        range: range of the result's integers.
        zero_point: added after rounding.

    Raises:
        TypeError: for multipliers or a bias of another dtype.
        ValueError: for entries out of bounds.
    """

    range: IntegerRange
    zero_point: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_zero_point(self.zero_point)

    @classmethod
    def from_scales(cls, scales: Sequence[Tensor], bias: Tensor | None, offered: IntegerRange, zero_point: int) -> Self:
        """Build the fixed-point form.

        Args:
            scales: float64, ``[]`` or ``[columns]``, of either sign: the scale of each source divided by the result's.
            bias: float64 ``[columns]`` in steps of the result, or None.
            offered: range of the result's integers.
            zero_point: zero point of the result.

        Raises:
            ScaleError: if scales or bias are so far apart that fixed-point numbers cannot join them.
        """
        return cls(*cls.fixed(scales, bias), offered, zero_point)

    @property
    def uniform(self) -> Self:
        """This alignment: all rows of its result share one scale."""
        return self

    def quantized(self, centred: Sequence[Tensor], scale: Tensor) -> QTensor:
        return QTensor.pack(self(centred), self.range, scale, self.zero_point)

    def __call__(self, centred: Sequence[Tensor]) -> Tensor:
        """Return the aligned sum, int8 or uint8; arguments as of :meth:`quantized`."""
        value = self.total(centred)
        if self.range.is_sign:
            return torch.where(value >= 0, 1, -1).to(self.range.dtype)
        rounded = rounding_shift(value, self.shift) + self.zero_point
        return rounded.clamp(self.range.minimum, self.range.maximum).to(self.range.dtype)
