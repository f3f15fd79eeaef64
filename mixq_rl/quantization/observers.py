"""How the range of a component's values is seen, and a quantizer chosen for it."""

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
    """Sees a range in values, which can follow them from batch to batch."""

    def observe(self, x: Tensor, by_column: bool) -> RealRange:
        """Return the range of ``x`` of any shape, or of each of its columns."""
        ...

    def follow(self, known: RealRange, seen: RealRange) -> RealRange:
        """Return what the range is after a batch of range ``seen``."""
        ...


@storable
@dataclass(frozen=True)
class MeanSquaredError:
    """No range: the scale of least squared error, found by a search over fractions of the data's range."""


@storable
@dataclass(frozen=True)
class MinMax:
    """From the least value to the greatest of all batches."""

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
    """From the least value to the greatest of a batch, averaged exponentially over batches.

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
    """A range that leaves out the outermost values at both ends, averaged exponentially over batches.

    Percentiles are those of the entries other than 0, which every range represents exactly; of a matrix with a range
    for each column those of all entries. Large tensors are judged by evenly spaced rows.

    Attributes:
        fraction: share of the entries up to the upper end, and down to the lower, in (0.5, 1].
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
        if by_column:  # rows that are left out may be all that a column of sparse features has
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
        observer: says how.
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
    """Return the entry of a rank (from 0) in ascending order, one for each column."""
    if entries.is_cuda:  # where the search for one is not deterministic
        return entries.sort(dim=0).values[rank]
    return entries.kthvalue(1 + rank, dim=0).values


def _check_momentum(momentum: float) -> None:
    if not 0 < momentum <= 1:
        raise InputError(f"momentum {momentum} of an observer is outside 0 < momentum <= 1: 0.1 is usual")
