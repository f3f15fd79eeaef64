"""Axes of a chart: places of values, and round values for the ticks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["LinearScale", "LogScale", "Scale"]

_FEWEST, _MOST = 3, 7


class Scale(Protocol):
    """An axis."""

    def place(self, value: float) -> float:
        """Return the place of a value: 0 at the low end of the axis, 1 at the high end."""
        ...

    def ticks(self) -> list[float]:
        """Return round values within the axis, ascending."""
        ...


@dataclass(frozen=True)
class LinearScale:
    """A linear axis.

    Attributes:
        low, high: its ends, ``low`` below ``high``.
    """

    low: float
    high: float

    def place(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        rough = (self.high - self.low) / _MOST
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]

    @classmethod
    def around(cls, values: Iterable[float], margin: float, least: float) -> "LinearScale":
        """Return an axis that contains the values.

        Args:
            values: at least one.
            margin: space on each side, as a fraction of the range of the values.
            least: smallest range: a narrower range is widened to it.
        """
        values = list(values)
        low, high = min(values), max(values)
        centre, half = (low + high) / 2, max(high - low, least) * (0.5 + margin)
        return cls(centre - half, centre + half)


@dataclass(frozen=True)
class LogScale:
    """A logarithmic axis.

    Attributes:
        low, high: its ends, positive, ``low`` below ``high``.
    """

    low: float
    high: float

    def place(self, value: float) -> float:
        return math.log2(value / self.low) / math.log2(self.high / self.low)

    def ticks(self) -> list[float]:
        first, last = math.floor(math.log2(self.low)), math.ceil(math.log2(self.high))
        powers = [2.0**exponent for exponent in range(first, last + 1)]
        found = self._within(powers)
        if len(found) > _MOST:
            return found[:: math.ceil(len(found) / _MOST)]
        if len(found) >= _FEWEST:
            return found
        halves = self._within(sorted(factor * power for power in powers for factor in (1, 1.25, 1.5, 1.75)))
        return halves if _FEWEST <= len(halves) <= _MOST else LinearScale(self.low, self.high).ticks()

    def _within(self, values: list[float]) -> list[float]:
        return [value for value in values if self.low <= value <= self.high]

    @classmethod
    def around(cls, values: Iterable[float], margin: float, least: float) -> "LogScale":
        """Return an axis that contains the values. ``margin`` and ``least`` are in logarithms of base 2."""
        inner = LinearScale.around([math.log2(value) for value in values], margin, least)
        return cls(2.0**inner.low, 2.0**inner.high)
