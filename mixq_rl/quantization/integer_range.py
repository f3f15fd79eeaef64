"""Range of integers of a bit-width."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixq_rl.errors import BitWidthError
from mixq_rl.storage.artifacts import storable

__all__ = ["DEFAULT_BITS", "MAX_BITS", "IntegerRange", "check_bit_widths", "check_zero_point", "within"]

MAX_BITS = 8
DEFAULT_BITS = (1, 2, 4, 8)
"""Bit-widths on offer by default: those that integers are stored with."""
# Number of integers of each bit-width. It is a table because torch.compile treats an entry of a tuple as a constant. A
# power of bits that differ between layers would become a symbol of the compiled kernel, which Triton cannot compute.
_COUNTS = tuple(2**bits for bits in range(MAX_BITS + 1))


@storable
@dataclass(frozen=True)
class IntegerRange:
    """Range of the integers of ``bits`` bits.

    Signed: -2^(b-1) ... 2^(b-1)-1; unsigned: 0 ... 2^b-1; one signed bit: {-1, +1}, which has no zero.

    Raises:
        BitWidthError: for a bit-width outside 1...8.
    """

    bits: int
    signed: bool

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise BitWidthError(f"bit-width {self.bits} is outside 1...{MAX_BITS}")

    @property
    def is_sign(self) -> bool:
        """Whether the only integers are -1 and +1."""
        return self.signed and self.bits == 1

    @property
    def minimum(self) -> int:
        if self.is_sign:
            return -1
        return -_COUNTS[self.bits - 1] if self.signed else 0

    @property
    def maximum(self) -> int:
        if self.is_sign:
            return 1
        return _COUNTS[self.bits - 1 if self.signed else self.bits] - 1

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that holds these integers unpacked."""
        return torch.int8 if self.signed else torch.uint8

    @property
    def storage_bits(self) -> int:
        """Bits that one integer takes packed: 1, 2, 4 or 8."""
        return self.bits if self.bits <= 2 else 4 if self.bits <= 4 else 8

    @property
    def storage_dtype(self) -> torch.dtype:
        """The dtype that holds these integers packed."""
        return self.dtype if self.storage_bits == 8 else torch.uint8

    @property
    def step(self) -> int:
        """Distance between neighbouring integers."""
        return 2 if self.is_sign else 1

    @property
    def offset(self) -> int:
        """The integer that the packed code 0 stands for; 0 if integers are stored unchanged."""
        return 0 if self.storage_bits == 8 else self.minimum

    def row_bytes(self, columns: int) -> int:
        """Return the number of bytes of a packed row of ``columns`` integers."""
        return -(-columns * self.storage_bits // 8)

    def nearest(self, steps: Tensor, zero_point: int) -> Tensor:
        """Round ``steps`` (x/s, floating point) half to even, then add the zero point and clamp.

        Returns integers held in the dtype of ``steps``.
        """
        if self.is_sign:
            return torch.where(steps >= 0, 1.0, -1.0).to(steps.dtype)
        return (steps.round() + zero_point).clamp(self.minimum, self.maximum)


def check_bit_widths(bit_widths: Sequence[int]) -> tuple[int, ...]:
    """Return the distinct bit-widths in ascending order.

    Raises:
        BitWidthError: for an empty choice, or a bit-width that is not a whole number within 1...8.
    """
    if not bit_widths:
        raise BitWidthError(f"no bit-widths given: name at least one of 1...{MAX_BITS}, for example 1,2,4,8")
    for bits in bit_widths:
        if int(bits) != bits:
            raise BitWidthError(f"bit-width {bits!r} is not a whole number")
        IntegerRange(int(bits), signed=False)
    return tuple(sorted({int(bits) for bits in bit_widths}))


def within(values: Tensor, minimum: int, maximum: int) -> bool:
    """Return whether all integers lie between the bounds, both included."""
    return not values.numel() or (minimum <= int(values.min()) and int(values.max()) <= maximum)


def check_zero_point(zero_point: int) -> None:
    """Check that a zero point is within -256...256, the bounds for 8 bits.

    Raises:
        ValueError: naming the zero point.
    """
    if abs(zero_point) > 2**MAX_BITS:
        raise ValueError(f"zero point {zero_point} is outside -256...256")
