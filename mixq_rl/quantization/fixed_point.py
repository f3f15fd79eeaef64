"""Fixed-point numbers, which replace real scales in integer execution."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mixq_rl.conditions import require
from mixq_rl.errors import ScaleError
from mixq_rl.storage.artifacts import storable

__all__ = ["FixedPoint"]

_MANTISSA_BITS = 31


@storable
@dataclass(frozen=True)
class FixedPoint:
    """Rational numbers ``mantissa / 2^exponent``.

    Attributes:
        mantissa: int32, non-negative.
        exponent: number of bits behind the binary point.
    """

    mantissa: Tensor
    exponent: int

    @staticmethod
    def exponent_for(magnitude: float, mantissa_bits: int = _MANTISSA_BITS - 1) -> int:
        """Return the exponent that gives a number of this magnitude a mantissa of ``mantissa_bits`` bits."""
        return mantissa_bits - math.frexp(magnitude)[1]

    @classmethod
    def nearest(cls, x: Tensor, exponent: int) -> "FixedPoint":
        """Return the fixed-point numbers nearest to ``x`` (not negative, floating point).

        Raises:
            ScaleError: if a number needs a mantissa of more than 31 bits.
        """
        mantissa = torch.round(x.double() * 2.0**exponent)
        beyond = (
            f"beyond what a fixed-point number with {exponent} bits behind the point can hold; "
            f"the largest is {2.0 ** (_MANTISSA_BITS - exponent):.4g}"
        )
        require(
            (mantissa < 2**_MANTISSA_BITS).all(),
            f"a number is {beyond}",
            lambda: ScaleError(f"{float(x.max()):.4g} (entry {int(x.argmax())}) is {beyond}"),
        )
        return cls(mantissa.to(torch.int32), exponent)

    def to_real(self) -> Tensor:
        """Return the numbers as float64, exactly."""
        return self.mantissa.double() * 2.0**-self.exponent
