"""A range of real numbers, and the quantizer that covers it."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from mixq_rl.quantization.integer_range import IntegerRange
from mixq_rl.quantization.quantizer import Quantizer, affine_quantizer, nonzero

__all__ = ["RealRange"]


@dataclass(frozen=True)
class RealRange:
    """Range of real numbers between two ends, which includes 0.

    Attributes:
        low: lower end, ``[]`` or ``[columns]``, at most 0.
        high: upper end, of the shape of ``low``, at least 0.
    """

    low: Tensor
    high: Tensor

    @classmethod
    def around_zero(cls, low: Tensor, high: Tensor) -> Self:
        """Return the range between two ends, extended to 0."""
        return cls(low.clamp(max=0), high.clamp(min=0))

    @classmethod
    def nothing(cls, x: Tensor, by_column: bool) -> Self:
        """Return the empty range, with the columns, dtype and device of ``x``."""
        zero = x.new_zeros(x.shape[1:] if by_column else ())
        return cls(zero, zero)

    def union(self, other: "RealRange") -> "RealRange":
        """Return the smallest range that includes both ranges."""
        return RealRange(torch.minimum(self.low, other.low), torch.maximum(self.high, other.high))

    def mix(self, other: "RealRange", share: float) -> "RealRange":
        """Return the weighted mean of both ranges; ``other`` has the weight ``share`` in (0, 1]."""
        return RealRange(torch.lerp(self.low, other.low, share), torch.lerp(self.high, other.high, share))

    def quantizer(self, offered: IntegerRange, affine: bool) -> Quantizer:
        """Return the quantizer whose outermost integers stand for the ends.

        One signed bit is an exception: its two integers stand for the middles of the range's halves.

        Args:
            offered: the integers.
            affine: whether the zero point may differ from 0; only for a range without columns.
        """
        if affine and not offered.is_sign:
            return affine_quantizer(float(self.low), float(self.high), offered, self.low.device)
        magnitude = torch.maximum(-self.low, self.high).double()
        return Quantizer(offered, nonzero(magnitude) / (2 if offered.is_sign else offered.maximum))
