"""Banks of scales: each row takes one of several scales by its magnitude, without floating point."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from mixq_rl.quantization.alignment import Alignment, FixedPointSum
from mixq_rl.quantization.fixed_point import FixedPoint
from mixq_rl.quantization.integer_range import IntegerRange, within
from mixq_rl.quantization.qtensor import QTensor
from mixq_rl.quantization.requantization import FixedPointMap, Requantization, rounding_shift
from mixq_rl.storage.artifacts import storable

__all__ = ["WIDE_LIMIT", "AnyAlignment", "AnyRequantization", "BankAlignment", "BankRequantization", "ScaleBank"]

WIDE_LIMIT = 2**22 - 1
"""Greatest magnitude of wide integers: rows have them while their scale is chosen, before they get few bits."""

# Wide integers take 22 bits and a bias 26, and 26 bits are behind the binary point. So their products stay below 2^53,
# which is exact in float64.
_WIDE_SHIFT = 26
_WIDE_BIAS = 2**26

_MAX_SHIFT = 40
_RECIPROCAL_BITS = 29
_LARGEST_EXPONENT = 512


@storable
@dataclass(frozen=True)
class ScaleBank:
    """Bank of scales, of which every row takes one: the nearest-neighbour strategy of A²Q, on integers.

    The greatest magnitude in a row of wide integers w is compared with the thresholds between neighbouring scales. That
    gives the row's scale. With R, the reciprocal of that scale, q = clamp(round(w * R / 2^shift)), half to even.

    Attributes:
        thresholds: int64 ``[scales - 1]``, ascending: magnitudes up to the first threshold take the first scale.
        reciprocals: int64 ``[scales]``, at most 2^29: the unit of the wide integers divided by each scale.
        shift: number of bits behind the binary point of the reciprocals, 1...40.
        scales: the scales in fixed point, int32 ``[scales]``.
        range: range of the result's integers.

    Raises:
        TypeError: for other dtypes.
        ValueError: for entries out of bounds, or tensors of lengths that do not fit each other.
    """

    thresholds: Tensor
    reciprocals: Tensor
    shift: int
    scales: FixedPoint
    range: IntegerRange

    def __post_init__(self) -> None:
        mantissa = self.scales.mantissa
        if {self.thresholds.dtype, self.reciprocals.dtype} != {torch.int64} or mantissa.dtype != torch.int32:
            raise TypeError("thresholds and reciprocals of a bank are int64, the mantissas of its scales int32")
        count = self.reciprocals.numel()
        shapes = (self.reciprocals.shape, mantissa.shape, self.thresholds.shape)
        if not count or shapes != ((count,), (count,), (count - 1,)):
            raise ValueError("a bank has one reciprocal for each scale, and a threshold between each two")
        if not within(self.thresholds, 0, WIDE_LIMIT) or bool((self.thresholds.diff() < 0).any()):
            raise ValueError(f"thresholds of a bank ascend within 0...{WIDE_LIMIT}")
        if not within(self.reciprocals, 1, 2**_RECIPROCAL_BITS) or not within(mantissa, 1, 2**31 - 1):
            raise ValueError(f"reciprocals and scales of a bank are positive, reciprocals at most 2^{_RECIPROCAL_BITS}")
        if not 1 <= self.shift <= _MAX_SHIFT or abs(self.scales.exponent) > _LARGEST_EXPONENT:
            raise ValueError(f"shift {self.shift} of a bank is outside 1...{_MAX_SHIFT}, or its exponent out of bounds")

    @classmethod
    def from_scales(cls, scales: Tensor, share: float, unit: Tensor, offered: IntegerRange) -> Self:
        """Build the fixed-point form.

        Args:
            scales: float64 ``[scales]``, positive, ascending.
            share: the ideal scale of a row, divided by the row's magnitude.
            unit: float64 scalar, the unit of the wide integers.
            offered: range of the result's integers.
        """
        middles = (scales[1:] + scales[:-1]) / 2
        thresholds = (middles / (share * unit)).round().clamp(max=WIDE_LIMIT).to(torch.int64)
        ratios = unit / scales
        shift = min(FixedPoint.exponent_for(float(ratios.max()), _RECIPROCAL_BITS), _MAX_SHIFT)
        reciprocals = (ratios * 2.0**shift).round().to(torch.int64)
        mantissas = FixedPoint.nearest(scales, FixedPoint.exponent_for(float(scales.max())))
        return cls(thresholds, reciprocals, shift, mantissas, offered)

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest wide integer."""
        return (-WIDE_LIMIT if self.range.signed else 0), WIDE_LIMIT

    def choose(self, wide: Tensor) -> Tensor:
        """Return the index of the scale of each row, int64 ``[rows]``, for wide integers of any dtype."""
        magnitude = wide.abs().amax(dim=1).to(torch.int64)
        return torch.searchsorted(self.thresholds, magnitude)

    def __call__(self, wide: Tensor) -> tuple[Tensor, FixedPoint]:
        """Return wide integers, int64 ``[rows, columns]``, in few bits (int8 or uint8), and the scale of each row."""
        wide = wide.clamp(*self.limits)
        index = self.choose(wide).unsqueeze(1)
        if self.range.is_sign:
            integers = torch.where(wide >= 0, 1, -1)
        else:
            rounded = rounding_shift(wide * self.reciprocals[index], self.shift)
            integers = rounded.clamp(self.range.minimum, self.range.maximum)
        row = FixedPoint(self.scales.mantissa[index], self.scales.exponent)
        return integers.to(self.range.dtype), row


@storable
@dataclass(frozen=True)
class BankRequantization(FixedPointMap):
    """Requantization to one scale for each row: int32 sums to wide integers, and these to few bits.

    The wide integers are w = round((S * M + B) / 2^shift).

    Attributes:
        bank: the scales, of which each row takes one.
    """

    bank: ScaleBank

    has_row: ClassVar[bool] = True
    max_shift: ClassVar[int] = _WIDE_SHIFT
    bias_limit: ClassVar[int] = _WIDE_BIAS

    @property
    def range(self) -> IntegerRange:
        return self.bank.range

    @property
    def zero_point(self) -> int:
        return 0

    @property
    def uniform(self) -> None:
        """None: each row of the result has a scale of its own, which no kernel can apply to its sums."""
        return None

    def quantized(self, sums: Tensor, scale: Tensor, row: FixedPoint | None = None) -> QTensor:
        integers, chosen = self(sums, row)
        return QTensor.pack(integers, self.range, scale, row=chosen)

    def __call__(self, sums: Tensor, row: FixedPoint | None = None) -> tuple[Tensor, FixedPoint]:
        """Return int32 ``sums`` ``[rows, columns]``, requantized to int8 or uint8, and the scales of the rows."""
        return self.bank(rounding_shift(self.products(sums, row), self.shift))


@storable
@dataclass(frozen=True)
class BankAlignment(FixedPointSum):
    """Alignment to one scale for each row: centred integers of k sources to wide integers, and these to few bits.

    Attributes:
        bank: the scales, of which each row takes one.
    """

    bank: ScaleBank

    has_row: ClassVar[bool] = True
    max_shift: ClassVar[int] = _WIDE_SHIFT
    bias_limit: ClassVar[int] = _WIDE_BIAS

    @property
    def range(self) -> IntegerRange:
        return self.bank.range

    @property
    def zero_point(self) -> int:
        return 0

    @property
    def uniform(self) -> None:
        """None: each row of the result has a scale of its own."""
        return None

    def quantized(self, centred: Sequence[Tensor], scale: Tensor) -> QTensor:
        integers, chosen = self(centred)
        return QTensor.pack(integers, self.range, scale, row=chosen)

    def __call__(self, centred: Sequence[Tensor]) -> tuple[Tensor, FixedPoint]:
        """Return the aligned sum, int8 or uint8, and the scales of the rows; arguments as of :class:`Alignment`."""
        return self.bank(rounding_shift(self.total(centred), self.shift))


AnyRequantization = Requantization | BankRequantization
"""The requantizations that a step can hold."""

AnyAlignment = Alignment | BankAlignment
"""The alignments that a step can hold."""
