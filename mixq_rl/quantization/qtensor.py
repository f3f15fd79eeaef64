"""A tensor of integers with what is needed to read it as real numbers."""

from dataclasses import dataclass

from torch import Tensor

from mixq_rl.quantization.fixed_point import FixedPoint
from mixq_rl.quantization.integer_range import IntegerRange
from mixq_rl.serialization import storable

__all__ = ["QTensor"]


@storable
@dataclass(frozen=True)
class QTensor:
    """Integers ``values`` that stand for ``scale * (values - zero_point)``.

    Attributes:
        values: int8 (signed range) or uint8 (unsigned range).
        range: the integers that may occur.
        scale: float64, positive (0 for rows of zeros), broadcastable to ``values``: a scalar (per tensor),
            ``[columns]`` or ``[rows, 1]``.
        zero_point: the integer that stands for 0.
        row: the rows' part of the scale in fixed point, ``[rows, 1]``, which integer execution multiplies by; or None.

    Raises:
        TypeError: if ``values`` have another dtype than the range's.
    """

    values: Tensor
    range: IntegerRange
    scale: Tensor
    zero_point: int = 0
    row: FixedPoint | None = None

    def __post_init__(self) -> None:
        if self.values.dtype != self.range.dtype:
            raise TypeError(f"a QTensor of {self.range} holds {self.range.dtype}, not {self.values.dtype}")

    @property
    def bits(self) -> int:
        return self.range.bits

    @property
    def nbytes(self) -> int:
        """Bytes of the payload as it is held."""
        return self.values.numel() * self.values.element_size()

    def dequantize(self) -> Tensor:
        """Return the real numbers, float64."""
        return (self.values.double() - self.zero_point) * self.scale
