"""Quantizers as value objects, and functions that choose a quantizer from data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixq_rl.quantization.fixed_point import FixedPoint
from mixq_rl.quantization.granularity import Granularity
from mixq_rl.quantization.integer_range import IntegerRange, check_zero_point
from mixq_rl.quantization.packing import PackedRows
from mixq_rl.quantization.qtensor import QTensor
from mixq_rl.sparse import SparseMatrix
from mixq_rl.storage.artifacts import storable

__all__ = [
    "Quantizer",
    "affine_quantizer",
    "fit_quantizer",
    "nonzero",
    "normalised",
    "relative_error",
    "row_magnitude",
    "sample",
]

_SEARCH_STEPS = 40
_OUTLYING = 2.0**8
"""Greatest ratio of the greatest row to the median row at which 8 bits for the one leave something of the other."""
_SAMPLE_ELEMENTS = 2**18
_BLOCK_ELEMENTS = 2**16
_BLOCK_ELEMENTS_ON_GPU = 2**26  # a block takes a dozen launches and half a gigabyte


@storable
@dataclass(frozen=True)
class Quantizer:
    """Map between real numbers x and integers q of few bits: x ~ s (q - z), q = clamp(round(x / s) + z).

    Rounding is half to even, before z is added.

    Attributes:
        range: range of the integers q.
        scale: s, float64, positive, broadcastable to x.
        zero_point: z; always 0 for a one-bit signed range.
        row_exponent: exponent of the rows' fixed-point scales, if each row is divided by its magnitude first (its
            greatest absolute value); None if rows have no scales of their own.

    Raises:
        ValueError: for a scale that is not positive, or a zero point out of bounds.
    """

    range: IntegerRange
    scale: Tensor
    zero_point: int = 0
    row_exponent: int | None = None

    def __post_init__(self) -> None:
        if self.scale.dtype != torch.float64 or not bool(((self.scale > 0) & self.scale.isfinite()).all()):
            raise ValueError("scales of a quantizer are positive, finite and float64")
        check_zero_point(self.zero_point)

    def integers(self, x: Tensor) -> Tensor:
        """Return the integers of ``x`` of any floating dtype and shape, unpacked: int8 or uint8.

        The division by the scale is in float64. It does not include the rows' magnitudes: divide rows by them first.
        """
        return self.range.nearest(x.double() / self.scale, self.zero_point).to(self.range.dtype)

    def quantize(self, x: Tensor) -> QTensor:
        """Quantize a matrix of any floating dtype.

        Raises:
            ScaleError: if a row's magnitude is too far above those of the calibration data.
        """
        magnitude = None if self.row_exponent is None else row_magnitude(x)
        row = None
        if magnitude is not None and self.row_exponent is not None:
            row = FixedPoint.nearest(magnitude, self.row_exponent)
        columns, offered = x.shape[1], self.range
        data = x.new_empty((x.shape[0], offered.row_bytes(columns)), dtype=offered.storage_dtype)
        for block in _blocks(x):
            entries = x[block] if magnitude is None else x[block].double() / nonzero(magnitude[block])
            data[block] = PackedRows.pack(self.integers(entries), offered).data
        return QTensor(PackedRows(data, columns, offered), self.scale, self.zero_point, row)


def _blocks(x: Tensor) -> list[slice]:
    """Return slices of rows to quantize at a time: rows in float64 take many times the memory of their integers."""
    if torch.compiler.is_compiling():  # a traced program does not know the number of blocks
        return [slice(None)]
    elements = _BLOCK_ELEMENTS_ON_GPU if x.is_cuda else _BLOCK_ELEMENTS
    rows = max(1, elements // max(1, x.shape[1]))
    return [slice(first, first + rows) for first in range(0, x.shape[0], rows)]


def row_magnitude(x: Tensor | SparseMatrix) -> Tensor:
    """Return the greatest absolute value of each row, ``[rows, 1]`` float64."""
    if isinstance(x, SparseMatrix):
        magnitude = x.value.new_zeros(x.shape[0]).scatter_reduce(0, x.csr.row, x.value.abs(), "amax").unsqueeze(1)
    else:
        magnitude = x.abs().amax(dim=1, keepdim=True)
    return magnitude.double()


def nonzero(magnitude: Tensor) -> Tensor:
    """Return ``magnitude`` with 1 in place of 0, to divide by."""
    return torch.where(magnitude > 0, magnitude, 1.0)


def fit_quantizer(
    x: Tensor, bits: int, *, signed: bool, affine: bool = False, granularity: Granularity = Granularity.TENSOR
) -> tuple[Quantizer, float]:
    """Choose the scale (and zero point) of least squared error for ``x``.

    The search runs over fractions of the range of the data, from 1 downwards. Of equal errors the first wins. With
    granularity ``ROW`` the scale of a row is one fraction times the row's own magnitude. The quantizer then fits the
    rows divided by their magnitudes, so its scale is a scalar.

    With granularity ``TENSOR``, if the greatest row is more than 256 times the median row, the errors of each row count
    relative to its magnitude. The sum of squared errors would be that of a few rows, such as that of a hub, and a range
    for them would leave nothing of all others.

    Args:
        x: values, ``[rows, columns]`` or ``[entries]``, floating point; of large ones, evenly spaced rows count.
        bits: bit-width.
        signed: whether the range has negative integers.
        affine: whether the zero point may differ from 0 (granularity ``TENSOR`` only).
        granularity: which entries share a scale.

    Returns:
        the quantizer and its mean squared error relative to the mean square of ``x`` (0 where ``x`` is zero).
    """
    # A column of sparse features may have its entries in left-out rows only.
    columns = x.detach().abs().amax(dim=0) if granularity is Granularity.COLUMN and x.numel() else None
    quantizer = _search(sample(x.detach()), IntegerRange(bits, signed), affine, granularity, columns)
    return quantizer, relative_error(x.detach(), quantizer, granularity)


def _search(
    x: Tensor, offered: IntegerRange, affine: bool, granularity: Granularity, columns: Tensor | None
) -> Quantizer:
    values, weight = normalised(x.double(), granularity)
    dims = (0,) if granularity is Granularity.COLUMN else tuple(range(x.dim()))
    if values.numel() == 0:
        return Quantizer(offered, values.new_ones(values.shape[1:] if dims == (0,) else ()))
    fractions = _fractions()
    if granularity is Granularity.TENSOR and values.dim() == 2:
        rows = row_magnitude(values)
        outlying = _outlying(rows)
        if outlying > _OUTLYING:
            fractions, weight = _fractions_to(1 / outlying), nonzero(rows).reciprocal()
    if affine and not offered.is_sign:
        candidates = _affine_candidates(values, offered, fractions)
    else:
        magnitude = values.abs().amax() if columns is None else columns.double()
        candidates = _symmetric_candidates(magnitude, offered, fractions)
    best = candidates[0]
    best_error: Tensor | None = None
    for candidate in candidates:
        error = _residual(values, candidate).mul(weight).square().mean(dim=dims)
        better = error < best_error if best_error is not None else torch.ones_like(error, dtype=torch.bool)
        if better.any():
            best = Quantizer(offered, torch.where(better, candidate.scale, best.scale), candidate.zero_point)
            best_error = error if best_error is None else torch.where(better, error, best_error)
    return best


def normalised(x: Tensor, granularity: Granularity) -> tuple[Tensor, Tensor]:
    """Return the values that a scale is fitted to, and the factor from their errors to the errors of ``x``.

    With granularity ``ROW`` the values are the rows divided by their magnitudes; otherwise they are ``x``.
    """
    if granularity is not Granularity.ROW:
        return x, x.new_ones(())
    magnitude = row_magnitude(x)
    return (x / nonzero(magnitude)).to(x.dtype), magnitude


def relative_error(x: Tensor, quantizer: Quantizer, granularity: Granularity) -> float:
    """Return the mean squared error relative to the mean square of ``x``, measured on evenly spaced rows.

    An error of 0 on these rows need not be 0 on the others: in that case all rows are measured.
    """
    part = sample(x)
    error = _relative_error(part, quantizer, granularity)
    return error if error or len(part) == len(x) else _relative_error(x, quantizer, granularity)


def _relative_error(x: Tensor, quantizer: Quantizer, granularity: Granularity) -> float:
    values, weight = normalised(x.double(), granularity)
    if values.numel() == 0:
        return 0.0
    power = float((values * weight).square().mean())
    error = float(_residual(values, quantizer).mul(weight).square().mean())
    return error / power if power > 0 else 0.0


def _residual(x: Tensor, quantizer: Quantizer) -> Tensor:
    integers = quantizer.range.nearest(x / quantizer.scale, quantizer.zero_point)
    return (integers - quantizer.zero_point) * quantizer.scale - x


def sample(x: Tensor) -> Tensor:
    """Return evenly spaced rows of ``x`` with some hundred thousand entries, or all rows if ``x`` is smaller."""
    stride = -(-x.numel() // _SAMPLE_ELEMENTS)
    return x[::stride] if stride > 1 else x


def affine_quantizer(low: float, high: float, offered: IntegerRange, device: torch.device) -> Quantizer:
    """Return the quantizer whose outermost integers stand for ``low`` (at most 0) and ``high`` (at least 0)."""
    span = high - low if high > low else 1.0
    scale = span / (offered.maximum - offered.minimum)
    zero_point = max(offered.minimum, min(offered.maximum, offered.minimum - round(low / scale)))
    return Quantizer(offered, torch.tensor(scale, dtype=torch.float64, device=device), zero_point)


def _fractions() -> list[float]:
    return [1.0 - step / _SEARCH_STEPS for step in range(_SEARCH_STEPS)]


def _outlying(rows: Tensor) -> float:
    """Return how many times the greatest row is as large as the median of the rows that are not 0; 0 without rows."""
    nonzeros = rows[rows > 0]
    return float(nonzeros.max() / nonzeros.median()) if nonzeros.numel() else 0.0


def _fractions_to(least: float) -> list[float]:
    """Return fractions from 1 to an eighth of ``least``, four to an octave."""
    return [2.0 ** (-step / 4) for step in range(round(4 * (3 - math.log2(least))))]


def _symmetric_candidates(magnitude: Tensor, offered: IntegerRange, fractions: Sequence[float]) -> list[Quantizer]:
    step = nonzero(magnitude) / offered.maximum
    return [Quantizer(offered, step * fraction) for fraction in fractions]


def _affine_candidates(x: Tensor, offered: IntegerRange, fractions: Sequence[float]) -> list[Quantizer]:
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    # Their zero points differ: each fraction moves both ends.
    return [affine_quantizer(fraction * low, fraction * high, offered, x.device) for fraction in fractions]
