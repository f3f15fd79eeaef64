"""Observers, which measure the range of a component's values and choose a quantizer for it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from mixq_rl.errors import InputError
from mixq_rl.quantization.granularity import Granularity
from mixq_rl.quantization.integer_range import IntegerRange
from mixq_rl.quantization.quantizer import Quantizer, fit_quantizer, normalised, relative_error, sample
from mixq_rl.quantization.real_range import RealRange
from mixq_rl.storage.artifacts import storable

__all__ = ["MeanSquaredError", "MinMax", "MovingAverage", "Observer", "Percentile", "RangeObserver", "fit"]


@runtime_checkable
class RangeObserver(Protocol):
    """Protocol of observers that measure a range and can update it from batch to batch."""

    def observe(self, x: Tensor, by_column: bool) -> RealRange:
        """Return the range of ``x`` of any shape, or the range of each column."""
        ...

    def follow(self, known: RealRange, seen: RealRange) -> RealRange:
        """Return the range ``known``, updated by a batch of range ``seen``."""
        ...


@storable
@dataclass(frozen=True)
class MeanSquaredError:
    """Observer without a range: the scale of least squared error, from a search over fractions of the data's range."""


@storable
@dataclass(frozen=True)
class MinMax:
    """Range from the least to the greatest value of all batches."""

    def observe(self, x: Tensor, by_column: bool) -> RealRange:
        if x.numel() == 0:
            return RealRange.nothing(x, by_column)
        low, high = torch.aminmax(x, dim=0) if by_column else torch.aminmax(x)
        return RealRange.around_zero(low, high)

    def follow(self, known: RealRange, seen: RealRange) -> RealRange:
        return known.union(seen)


@storable
@dataclass(frozen=True)
class MovingAverage(MinMax):
    """Range from the least to the greatest value of a batch, averaged exponentially over batches.

    Attributes:
        momentum: weight of the newest batch, in (0, 1].

    Raises:
        InputError: for another momentum.
    """

    momentum: float = 0.1

    def __post_init__(self) -> None:
        _check_momentum(self.momentum)
        object.__setattr__(self, "momentum", float(self.momentum))

    def follow(self, known: RealRange, seen: RealRange) -> RealRange:
        return known.mix(seen, self.momentum)


@storable
@dataclass(frozen=True)
class Percentile:
    """Range without the outermost values at both ends, averaged exponentially over batches.

    Entries that are 0 do not count: every range represents them exactly. They do count where each column has a range.
    Of a large tensor, evenly spaced rows are measured.

    Attributes:
        fraction: share of the entries below the upper end, and share above the lower end, in (0.5, 1].
        momentum: weight of the newest batch, in (0, 1].

    Raises:
        InputError: for another fraction or momentum.
    """

    fraction: float = 0.999
    momentum: float = 0.1

    def __post_init__(self) -> None:
        if not 0.5 < self.fraction <= 1:
            raise InputError(f"percentile fraction {self.fraction} is outside 0.5 < fraction <= 1: 0.999 is usual")
        _check_momentum(self.momentum)
        object.__setattr__(self, "fraction", float(self.fraction))
        object.__setattr__(self, "momentum", float(self.momentum))

    def observe(self, x: Tensor, by_column: bool) -> RealRange:
        entries = sample(x)
        entries = entries if by_column else entries[entries != 0]
        if entries.numel() == 0:
            return RealRange.nothing(x, by_column)
        left_out = int((1 - self.fraction) * (len(entries) - 1))
        low, high = _ranked(entries, left_out), _ranked(entries, len(entries) - 1 - left_out)
        if by_column:  # sparse features may have a column's entries in left-out rows only
            unseen, ends = (entries == 0).all(dim=0), torch.aminmax(x, dim=0)
            low, high = torch.where(unseen, ends.min, low), torch.where(unseen, ends.max, high)
        return RealRange.around_zero(low, high)

    def follow(self, known: RealRange, seen: RealRange) -> RealRange:
        return known.mix(seen, self.momentum)


Observer = MeanSquaredError | MinMax | MovingAverage | Percentile


def fit(
    observer: Observer, x: Tensor, offered: IntegerRange, *, affine: bool, granularity: Granularity
) -> tuple[Quantizer, float]:
    """Choose a quantizer for ``x``.

    Args:
        observer: how to choose it.
        x: values, ``[rows, columns]`` or ``[entries]``, floating point.
        offered: the integers.
        affine: whether the zero point may differ from 0 (granularity ``TENSOR`` only).
        granularity: which entries share a scale; with ``ROW`` the quantizer fits rows divided by their magnitude.

    Returns:
        the quantizer and its mean squared error relative to the mean square of ``x`` (0 where ``x`` is zero).
    """
    if not isinstance(observer, RangeObserver):
        return fit_quantizer(x, offered.bits, signed=offered.signed, affine=affine, granularity=granularity)
    values, _ = normalised(x.detach(), granularity)
    quantizer = observer.observe(values, granularity is Granularity.COLUMN).quantizer(offered, affine)
    return quantizer, relative_error(x.detach(), quantizer, granularity)


def _ranked(entries: Tensor, rank: int) -> Tensor:
    """Return the entry with a rank (from 0) in ascending order, one for each column."""
    if entries.is_cuda:  # kthvalue is not deterministic there
        return entries.sort(dim=0).values[rank]
    return entries.kthvalue(1 + rank, dim=0).values


def _check_momentum(momentum: float) -> None:
    if not 0 < momentum <= 1:
        raise InputError(f"momentum {momentum} of an observer is outside 0 < momentum <= 1: 0.1 is usual")
