"""How finely scales are chosen."""

from enum import Enum

__all__ = ["Granularity"]


class Granularity(Enum):
    """Which entries of a matrix share a scale. Never finer than integer execution can carry through a sum."""

    TENSOR = "tensor"
    COLUMN = "column"
    ROW = "row"
