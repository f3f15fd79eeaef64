"""Quantizers as value objects, and the choice of one from data."""

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from mixq_rl.quantization.fixed_point import FixedPoint
from mixq_rl.quantization.integer_range import IntegerRange
from mixq_rl.quantization.qtensor import QTensor
from mixq_rl.serialization import storable
from mixq_rl.sparse import SparseMatrix

__all__ = ["Granularity", "Quantizer", "fit_quantizer", "row_magnitude"]

_SEARCH_STEPS = 40
_SAMPLE_ELEMENTS = 2**18


class Granularity(Enum):
    """Which entries of a matrix share a scale. Never finer than integer execution can carry through a sum."""

    TENSOR = "tensor"
    COLUMN = "column"
    ROW = "row"


@storable
@dataclass(frozen=True)
class Quantizer:
    """x ~ s (q - z), q = clamp(round(x / s) + z), rounding half to even before z is added.

    Attributes:
        range: the integers on offer.
        scale: float64, positive, broadcastable to what is quantized.
        zero_point: an integer; 0 for a one-bit signed range, which has no other.
        row_exponent: exponent of the rows' fixed-point scales, where each row is first divided by its own magnitude
            (its greatest absolute value); None where rows have no scale of their own.
    """

    range: IntegerRange
    scale: Tensor
    zero_point: int = 0
    row_exponent: int | None = None

    def quantize(self, x: Tensor) -> QTensor:
        """Quantize ``x`` of any floating dtype; the division is made in float64.

        Raises:
            ValueError: if a row's magnitude is too far above those of the calibration data.
        """
        x, scale, row = x.double(), self.scale, None
        if self.row_exponent is not None:
            magnitude = row_magnitude(x)
            row = FixedPoint.nearest(magnitude, self.row_exponent)
            x, scale = x / magnitude, scale * magnitude
        values = self.range.nearest(x / self.scale, self.zero_point)
        return QTensor(values.to(self.range.dtype), self.range, scale, self.zero_point, row)


def row_magnitude(x: Tensor | SparseMatrix) -> Tensor:
    """Return the greatest absolute value of each row, ``[rows, 1]`` float64, and 1 for rows of zeros."""
    if isinstance(x, SparseMatrix):
        magnitude = x.value.new_zeros(x.shape[0]).scatter_reduce(0, x.csr.row, x.value.abs(), "amax").unsqueeze(1)
    else:
        magnitude = x.abs().amax(dim=1, keepdim=True)
    return torch.where(magnitude > 0, magnitude, 1.0).double()


def fit_quantizer(
    x: Tensor, bits: int, *, signed: bool, affine: bool = False, granularity: Granularity = Granularity.TENSOR
) -> tuple[Quantizer, float]:
    """Choose the scale (and zero point) of least squared error for ``x``.

    The search runs over fractions of the range of the data, from 1 downwards, and takes the first of equals. With
    granularity ``ROW`` the scale is one learned fraction times the row's own magnitude: the quantizer returned
    fits the rows divided by their magnitude, so its scale is a scalar.

    Args:
        x: values, ``[rows, columns]`` or ``[entries]``, floating point; large ones are judged by evenly spaced rows.
        bits: bit-width.
        signed: whether the range has negative integers.
        affine: whether the zero point may differ from 0 (granularity ``TENSOR`` only).
        granularity: which entries share a scale.

    Returns:
        the quantizer and its mean squared error relative to the mean square of ``x`` (0 where ``x`` is zero).
    """
    offered = IntegerRange(bits, signed)
    x = _sample(x.detach().double())
    if granularity is Granularity.ROW:
        x = x / row_magnitude(x)
    dims = (0,) if granularity is Granularity.COLUMN else tuple(range(x.dim()))
    if x.numel() == 0:
        return Quantizer(offered, torch.ones(x.shape[1:] if dims == (0,) else (), dtype=torch.float64)), 0.0

    if affine and not offered.is_sign:
        candidates = _affine_candidates(x, offered)
    else:
        candidates = _symmetric_candidates(x, offered, dims)
    best_error: Tensor | None = None
    best_scale, best_zero_point = candidates[0]
    for scale, zero_point in candidates:
        error = ((offered.nearest(x / scale, zero_point) - zero_point) * scale - x).square().mean(dim=dims)
        if best_error is None:
            best_error = error
            continue
        better = error < best_error
        if better.any():
            best_scale = torch.where(better, scale, best_scale)
            best_zero_point = zero_point
            best_error = torch.where(better, error, best_error)
    assert best_error is not None
    power = x.square().mean()
    relative = float(best_error.mean() / power) if power > 0 else 0.0
    return Quantizer(offered, best_scale, best_zero_point), relative


def _sample(x: Tensor) -> Tensor:
    stride = -(-x.numel() // _SAMPLE_ELEMENTS)
    return x[::stride] if stride > 1 else x


def _fractions() -> list[float]:
    return [1.0 - step / _SEARCH_STEPS for step in range(_SEARCH_STEPS)]


def _symmetric_candidates(x: Tensor, offered: IntegerRange, dims: tuple[int, ...]) -> list[tuple[Tensor, int]]:
    magnitude = x.abs().amax(dim=dims)
    step = torch.where(magnitude > 0, magnitude, 1.0) / offered.maximum
    return [(step * fraction, 0) for fraction in _fractions()]


def _affine_candidates(x: Tensor, offered: IntegerRange) -> list[tuple[Tensor, int]]:
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    span = high - low if high > low else 1.0
    steps = offered.maximum - offered.minimum
    candidates = []
    for fraction in _fractions():
        scale = torch.tensor(fraction * span / steps, dtype=torch.float64)
        zero_point = offered.minimum - round(fraction * low / float(scale))
        candidates.append((scale, max(offered.minimum, min(offered.maximum, zero_point))))
    return candidates
