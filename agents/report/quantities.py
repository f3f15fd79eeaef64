"""Numbers as people read them."""

import math
from collections.abc import Iterable

__all__ = ["memory", "milliseconds", "percent", "power_of_ten", "shape", "times"]

_TIGHT = "\N{NO-BREAK SPACE}"

_MEMORY_UNITS = ("B", "kB", "MB", "GB", "TB")
_POWERS = ((1e9, "10⁹"), (1e6, "10⁶"), (1e3, "10³"))


def percent(share: float, *, sign: bool = True) -> str:
    """Return a share of 1 in %: ``83.6 %``, or ``83.6`` without the sign."""
    return f"{100 * share:.1f}{_TIGHT}%" if sign else f"{100 * share:.1f}"


def times(factor: float, digits: int = 1) -> str:
    """Return a factor to some decimal places, its sign behind it."""
    return f"{factor:.{digits}f}×"


def milliseconds(seconds: float) -> str:
    """Return a time in ms, without the unit."""
    return f"{1e3 * seconds:.3f}"


def memory(count: int) -> str:
    """Return a number of bytes to three digits: ``1.56 MB``, a MB being 10⁶ bytes."""
    rank = 0 if count < 1000 else min(int(math.log10(count)) // 3, len(_MEMORY_UNITS) - 1)
    value = float(f"{count / 1000**rank:.3g}")
    if value >= 1000 and rank + 1 < len(_MEMORY_UNITS):
        rank, value = rank + 1, value / 1000
    digits = 0 if rank == 0 else max(0, 2 - int(math.log10(value)))
    return f"{value:.{digits}f}{_TIGHT}{_MEMORY_UNITS[rank]}"


def shape(lengths: Iterable[int]) -> str:
    """Return the shape of an array, in one word."""
    return f"{_TIGHT}×{_TIGHT}".join(map(str, lengths))


def power_of_ten(values: Iterable[float]) -> tuple[float, str]:
    """Return the unit that numbers are written in side by side, and its name: ``(1e9, "10⁹")``."""
    greatest = max(values, default=0.0)
    return next((unit for unit in _POWERS if greatest >= unit[0]), (1.0, ""))
