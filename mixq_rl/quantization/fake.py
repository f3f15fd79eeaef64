"""Fake quantization: the arithmetic of the integer network in floating point, with gradients.

Float tensors hold the integers, and the scales flow through the network beside them. In float64 every sum and product
of the integer network is exact, so both networks agree bit for bit. Training is in float32.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mixq_rl.quantization.alignment import FixedPointSum
from mixq_rl.quantization.fixed_point import FixedPoint
from mixq_rl.quantization.integer_range import IntegerRange
from mixq_rl.quantization.requantization import FixedPointMap
from mixq_rl.sparse import SparseMatrix, dropout

__all__ = [
    "FakeQuantized",
    "LearnedFixedPoint",
    "fake_map",
    "fake_round",
    "fake_sum",
    "straight_clamp",
    "straight_round",
    "straight_round_within",
    "substitute",
]


@dataclass(frozen=True)
class FakeQuantized:
    """Centred integers q - z in a float tensor; they represent the real numbers ``values * scale * row``.

    Attributes:
        values: integers in a float tensor or sparse matrix, with gradient.
        scale: float64 scalar or ``[columns]``, with gradient.
        range: range of the integers q.
        zero_point: z.
        row: fixed-point scales of the rows, ``[rows, 1]``, or None.
        name: name of the component.
        protected: bool ``[rows, 1]``, rows that stay unquantized in training, so that their ``values`` are no
            integers; None: no rows.
    """

    values: Tensor | SparseMatrix
    scale: Tensor
    range: IntegerRange
    zero_point: int
    row: FixedPoint | None = None
    name: str = ""
    protected: Tensor | None = None

    @property
    def dense(self) -> Tensor:
        """The integers as a tensor."""
        return self.values.to_dense() if isinstance(self.values, SparseMatrix) else self.values

    @property
    def shape(self) -> torch.Size | tuple[int, int]:
        return self.values.shape

    def dropout(self, p: float, training: bool) -> "FakeQuantized":
        """Zero entries at random, as in float training; zero is the centred integer 0."""
        return replace(self, values=dropout(self.values, p, training))

    def to_real(self) -> Tensor:
        """Return the real numbers, in the dtype of ``values``."""
        real = self.dense * self.scale.to(self.values.dtype)
        return real if self.row is None else real * self.row.to_real().to(real.dtype)


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> Tensor:
        return grad[0]


class _Clamp(torch.autograd.Function):
    """Clamp whose gradient passes at both ends; torch passes it there up to version 2.13, and stops it since."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward((x >= low) & (x <= high))
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return grad[0] * inside, None, None


class _RoundWithin(torch.autograd.Function):
    """:class:`_Round`, then :class:`_Clamp`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: int, high: int) -> Tensor:
        rounded = x.round()
        clamped = rounded.clamp(low, high)
        ctx.save_for_backward(clamped == rounded)
        return clamped

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return grad[0] * inside, None, None


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad[0] * (x.abs() <= 1)


class _Substitute(torch.autograd.Function):
    """Identity of the second argument, whose gradient goes to the first."""

    @staticmethod
    def forward(ctx: Any, real: Tensor, exact: Tensor) -> Tensor:
        return exact.clone()

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        return grad[0], None


def substitute(real: Tensor, exact: Tensor) -> Tensor:
    """Return ``exact``, an approximation of ``real`` of the same shape; the gradient goes to ``real``."""
    result: Tensor = _Substitute.apply(real, exact)
    return result


@dataclass(frozen=True)
class LearnedFixedPoint(FixedPoint):
    """Fixed-point numbers that approximate learned real numbers.

    Attributes:
        learned: the learned numbers, float64, of the shape of ``mantissa``, with gradient.
    """

    learned: Tensor

    def to_real(self) -> Tensor:
        """Return the fixed-point numbers as float64; the gradient goes to the learned numbers."""
        return substitute(self.learned, super().to_real())


def straight_clamp(values: Tensor, low: float, high: float = math.inf) -> Tensor:
    """Clamp to ``low``...``high``; the gradient passes inside and at both ends, where rounded integers often are."""
    clamped: Tensor = _Clamp.apply(values, low, high)
    return clamped


def straight_round(steps: Tensor) -> Tensor:
    """Round half to even; the gradient is straight-through."""
    rounded: Tensor = _Round.apply(steps)
    return rounded


def straight_round_within(steps: Tensor, low: int, high: int) -> Tensor:
    """Return :func:`straight_clamp` of :func:`straight_round`, in fewer operations."""
    rounded: Tensor = _RoundWithin.apply(steps, low, high)
    return rounded


def fake_round(steps: Tensor, offered: IntegerRange, zero_point: int, protected: Tensor | None = None) -> Tensor:
    """Return the centred integers nearest to ``steps`` (x/s); the gradient is straight-through, and zero where clamped.

    Args:
        steps: floating point.
        offered: range of the integers.
        zero_point: zero point of the integers.
        protected: bool, broadcastable to ``steps``: entries that are neither rounded nor clamped, except at the lower
            end of unsigned integers, which is ReLU; None: no entries.
    """
    if offered.is_sign:
        rounded: Tensor = _Sign.apply(steps)
    else:
        rounded = straight_round_within(steps, offered.minimum - zero_point, offered.maximum - zero_point)
    if protected is None:
        return rounded
    return torch.where(protected, steps if offered.signed else straight_clamp(steps, 0), rounded)


def fake_map(
    sums: Tensor, scale: Tensor, bias: Tensor | None, row: FixedPoint | None, requantization: FixedPointMap
) -> Tensor:
    """Return integer ``sums`` in steps of the result, with the multipliers of ``requantization``, not rounded.

    Args:
        sums: integers in a float tensor, ``[rows, columns]``.
        scale: float64 ``[]`` or ``[columns]``, the real scale that ``requantization`` approximates; gets the gradient.
        bias: float64 ``[columns]`` in steps of the result, or None; gets the gradient.
        row: fixed-point scales of the rows, or None.
        requantization: the fixed-point form.

    Returns:
        steps in the dtype of ``sums``.
    """
    real = scale if row is None else row.to_real() * scale
    unit = 2.0**-requantization.shift
    multiplier = substitute(real, requantization.multipliers(row).double() * unit)
    steps = sums * multiplier.to(sums.dtype)
    if bias is not None and requantization.bias is not None:
        steps = steps + substitute(bias, requantization.bias.double() * unit).to(sums.dtype)
    return steps


def fake_sum(
    values: Sequence[Tensor], scales: Sequence[Tensor], bias: Tensor | None, alignment: FixedPointSum
) -> Tensor:
    """Return the sum of centred integers in steps of the result, with the multipliers of ``alignment``, not rounded.

    Args:
        values: integers in float tensors, one for each source, ``[rows, columns]``.
        scales: float64 ``[]`` or ``[columns]``, the real scales that ``alignment`` approximates; get the gradient.
        bias: float64 ``[columns]`` in steps of the result, or None; gets the gradient.
        alignment: the fixed-point form.

    Returns:
        steps in the dtype of ``values``.
    """
    unit = 2.0**-alignment.shift
    steps = values[0].new_zeros(())
    for centred, scale, multiplier in zip(values, scales, alignment.multipliers, strict=True):
        steps = steps + centred * substitute(scale, multiplier.double() * unit).to(centred.dtype)
    if bias is not None and alignment.bias is not None:
        steps = steps + substitute(bias, alignment.bias.double() * unit).to(steps.dtype)
    return steps
