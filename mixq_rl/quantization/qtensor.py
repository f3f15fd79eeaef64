"""Matrices of integers with scale and zero point."""

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from mixq_rl.quantization.fixed_point import FixedPoint
from mixq_rl.quantization.granularity import Granularity
from mixq_rl.quantization.integer_range import IntegerRange
from mixq_rl.quantization.packing import PackedRows
from mixq_rl.storage.artifacts import storable

__all__ = ["QTensor"]


@storable
@dataclass(frozen=True)
class QTensor:
    """Matrix of packed integers q, which represent the real numbers ``row * scale * (q - zero_point)``.

    Attributes:
        payload: the integers.
        scale: float64, positive, a scalar or ``[columns]``.
        zero_point: the integer that stands for 0.
        row: scales of the rows in fixed point, ``[rows, 1]``; None: all 1.
    """

    payload: PackedRows
    scale: Tensor
    zero_point: int = 0
    row: FixedPoint | None = None

    @classmethod
    def pack(
        cls, values: Tensor, offered: IntegerRange, scale: Tensor, zero_point: int = 0, row: FixedPoint | None = None
    ) -> Self:
        """Pack integers (int8 or uint8, ``[rows, columns]``) that lie within a range."""
        return cls(PackedRows.pack(values, offered), scale, zero_point, row)

    @property
    def values(self) -> Tensor:
        """The integers unpacked, int8 (signed range) or uint8, ``[rows, columns]``."""
        return self.payload.unpack()

    @property
    def range(self) -> IntegerRange:
        return self.payload.range

    @property
    def bits(self) -> int:
        return self.payload.range.bits

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.payload.shape

    @property
    def nbytes(self) -> int:
        """Number of bytes of the integers and the scales."""
        rows = 0 if self.row is None else self.row.mantissa.nbytes
        return self.payload.nbytes + self.scale.nbytes + rows

    @property
    def granularity(self) -> Granularity:
        """Which entries share a scale."""
        if self.row is not None:
            return Granularity.ROW
        return Granularity.COLUMN if self.scale.dim() else Granularity.TENSOR

    def dequantize(self) -> Tensor:
        """Return the real numbers, float64."""
        real = (self.values.double() - self.zero_point) * self.scale
        return real if self.row is None else real * self.row.to_real()
