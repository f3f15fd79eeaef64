"""Granularity of scales."""

from enum import Enum

__all__ = ["Granularity"]


class Granularity(Enum):
    """Granularity of scales: which entries of a matrix share one. No kind is finer than integer sums allow."""

    TENSOR = "tensor"
    COLUMN = "column"
    ROW = "row"
