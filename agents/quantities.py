"""Formats of numbers with units, for the report, tables, figures and the command's output."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = [
    "PowerOfTen",
    "area",
    "bit_operations",
    "bits",
    "memory",
    "milliseconds",
    "percent",
    "power_of_ten",
    "shape",
    "tick",
    "times",
]

_TIGHT = "\N{NO-BREAK SPACE}"
_PREFIXES = ("", "k", "M", "G", "T", "P")
_DIGITS = 3


def percent(share: float, digits: int = 1, *, sign: bool = True) -> str:
    """Return a share in [0, 1] as a percentage: ``83.6 %``, or ``83.6`` without the sign."""
    number = f"{100 * share:.{digits}f}"
    return f"{number}{_TIGHT}%" if sign else number


def times(factor: float, digits: int = 1) -> str:
    """Return a factor followed by the multiplication sign."""
    return f"{factor:.{digits}f}×"


def milliseconds(seconds: float, digits: int = 3) -> str:
    """Return a time in ms, without the unit."""
    return f"{1e3 * seconds:.{digits}f}"


def memory(count: int) -> str:
    """Return a number of bytes to three digits: ``1.56 MB``. One MB is 10⁶ bytes."""
    if count < 1000:
        return f"{count}{_TIGHT}B"
    return f"{_three_digits(count)}B"


def bit_operations(count: float) -> str:
    """Return a number of bit operations to three digits: ``1.60 G``, which is 1.60 · 10⁹."""
    return _three_digits(count).rstrip(_TIGHT)


def tick(value: float) -> str:
    """Return a number for an axis, to three digits and without trailing zeros: ``200 M``, ``1.5 G``."""
    number, prefix = _scaled(value)
    return f"{number:g}{_TIGHT}{prefix}".rstrip(_TIGHT)


def area(value: float) -> str:
    """Return a hypervolume to four decimal places."""
    return f"{value:.4f}"


def shape(lengths: Iterable[int]) -> str:
    """Return the shape of an array. Browsers do not break it into lines."""
    return f"{_TIGHT}×{_TIGHT}".join(map(str, lengths))


def bits(allocation: Sequence[int]) -> str:
    """Return the bit-widths of an allocation, or one number where all are equal."""
    return str(allocation[0]) if len(set(allocation)) == 1 else " ".join(map(str, allocation))


@dataclass(frozen=True)
class PowerOfTen:
    """Common unit of several numbers.

    Attributes:
        value: 10⁹, 10⁶, 10³ or 1.
        name: its text; empty for 1.
    """

    value: float
    name: str

    def write(self, number: float) -> str:
        """Return a number in this unit, to three decimal places."""
        return f"{number / self.value:.3f}"


_POWERS = (PowerOfTen(1e9, "10⁹"), PowerOfTen(1e6, "10⁶"), PowerOfTen(1e3, "10³"))


def power_of_ten(values: Iterable[float]) -> PowerOfTen:
    """Return the common unit of several numbers, chosen by the largest."""
    largest = max(values, default=0.0)
    return next((unit for unit in _POWERS if largest >= unit.value), PowerOfTen(1.0, ""))


def _three_digits(value: float) -> str:
    number, prefix = _scaled(value)
    whole_digits = 1 if abs(number) < 1 else int(math.log10(abs(number))) + 1
    return f"{number:.{max(0, _DIGITS - whole_digits)}f}{_TIGHT}{prefix}"


def _scaled(value: float) -> tuple[float, str]:
    """Return a number of three digits, and its SI prefix."""
    rank = min(max(int(math.log10(abs(value))) // 3, 0), len(_PREFIXES) - 1) if abs(value) >= 1 else 0
    number = float(f"{value / 1000**rank:.{_DIGITS}g}")
    if abs(number) >= 1000 and rank + 1 < len(_PREFIXES):
        return number / 1000, _PREFIXES[rank + 1]
    return number, _PREFIXES[rank]
