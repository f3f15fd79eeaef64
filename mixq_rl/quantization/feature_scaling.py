"""Exact scaling of the features' columns, for features that no bit-width could hold together."""

from dataclasses import dataclass
from typing import Self, overload

import torch
from torch import Tensor

from mixq_rl.sparse import SparseMatrix
from mixq_rl.storage.artifacts import storable

__all__ = ["FeatureScaling", "scale_features"]

_SPREAD = 2.0**8
"""Greatest ratio of two columns that 8 bits hold together: a smaller column is below one step of the greatest."""
_USUAL = (2.0**-10, 2.0**10)
_NEAR = 4.0
_OFFSET = 16.0
_PRECISION = 2.0**-20
_MAX_EXPONENT = 120
_NAMED = 3


@storable
@dataclass(frozen=True)
class FeatureScaling:
    r"""Exact scaling of features: :math:`x'_{ij} = (x_{ij} - c_j) 2^{k_j}`, before they are quantized.

    A network that has one is a function of x'. Its input's quantizer, its weights and its training see x' only.

    Attributes:
        factor: :math:`2^{k_j}`, float64 ``[columns]``.
        offset: :math:`c_j`, float64 ``[columns]``, numbers that float32 holds; None: all 0.

    Raises:
        TypeError: for another dtype.
        ValueError: for factors that are not powers of two, or tensors that do not fit each other.
    """

    factor: Tensor
    offset: Tensor | None

    def __post_init__(self) -> None:
        offset = torch.zeros_like(self.factor) if self.offset is None else self.offset
        if {self.factor.dtype, offset.dtype} != {torch.float64}:
            raise TypeError("factors and offsets of features are float64")
        if self.factor.dim() != 1 or offset.shape != self.factor.shape or not bool(offset.isfinite().all()):
            raise ValueError("features have one factor and one finite offset a column")
        mantissa, exponent = torch.frexp(self.factor)
        if not bool(((mantissa == 0.5) & (exponent.abs() <= _MAX_EXPONENT + 1)).all()):
            raise ValueError(f"factors of features are powers of two, from 2^-{_MAX_EXPONENT} to 2^{_MAX_EXPONENT}")

    @classmethod
    def fitted(cls, x: Tensor, *, shifts: bool = True, typical: bool = False) -> Self | None:
        """Return the scaling that features need, or None: features in line stay as they are.

        Features are out of line if the smallest column is less than 1/256 of the greatest, so that it would be below
        one step of 8 bits. Columns that are more than four times the median, or less than a quarter of it, are then
        brought to it, each by the nearest power of two. A column far from 0 counts by half its range, and its middle
        is subtracted. Features of a median magnitude beyond
        2^10 or below 2^-10 are brought to 1.

        Args:
            x: features of the training data, ``[nodes, columns]``.
            shifts: whether columns may be shifted.
            typical: whether a column counts by the median magnitude of its entries that are not 0, instead of by the
                greatest one; only without shifts.
        """
        if not x.numel():
            return None
        low, high = (end.double() for end in torch.aminmax(x.detach(), dim=0))
        magnitude = _medians(x) if typical else torch.maximum(-low, high)
        half_range = (high - low) / 2
        varies = half_range > magnitude * _PRECISION
        apart = varies & ((low > 0) | (high < 0)) & shifts
        content = torch.where(apart, half_range, magnitude)
        used = magnitude > 0
        if not bool(used.any()):
            return None
        median = float(magnitude[used].median())
        is_usual = _USUAL[0] <= median <= _USUAL[1]
        if float(magnitude.max()) <= _SPREAD * float(content[used].min()):
            return None if is_usual else cls(_power_of_two(torch.full_like(magnitude, 1 / median)), None)
        shifted = apart & (magnitude > _OFFSET * half_range)
        size = torch.where(shifted, half_range, magnitude)
        target = float(size[used].median())
        target = target if _USUAL[0] <= target <= _USUAL[1] else 1.0
        ratio = target / torch.where(used, size, target)
        factor = _power_of_two(torch.where((ratio > _NEAR) | (ratio < 1 / _NEAR), ratio, 1.0))
        middle = torch.where(shifted, (low + high) / 2, 0.0).float().double()
        return cls(factor, middle if bool(shifted.any()) else None)

    def balanced(self, ratio: Tensor) -> Self:
        """Return the scaling by the square roots of these factors times ``ratio``, float64 ``[columns]``, positive."""
        return type(self)(_power_of_two((self.factor * ratio).sqrt()), self.offset)

    @overload
    def __call__(self, x: Tensor) -> Tensor: ...

    @overload
    def __call__(self, x: Tensor | SparseMatrix) -> Tensor | SparseMatrix: ...

    def __call__(self, x: Tensor | SparseMatrix) -> Tensor | SparseMatrix:
        """Return scaled features; see :func:`scale_features`."""
        return scale_features(x, self.factor, self.offset)

    def __str__(self) -> str:
        """What is done to which columns, in one line."""
        scaled, exponents = self.factor != 1, torch.frexp(self.factor).exponent - 1
        shifted = torch.zeros_like(scaled) if self.offset is None else self.offset != 0
        changed = (scaled | shifted).nonzero()[:, 0].tolist()
        parts = []
        for column in changed[:_NAMED]:
            minus = f" minus {float(self.offset[column]):.6g}" if self.offset is not None and shifted[column] else ""
            times = f" times 2^{int(exponents[column])}" if scaled[column] else ""
            parts.append(f"column {column}{minus}{times}")
        more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
        return f"{len(changed)} of {len(self.factor)} feature columns are scaled exactly: {', '.join(parts)}{more}"


@overload
def scale_features(x: Tensor, factor: Tensor, offset: Tensor | None) -> Tensor: ...


@overload
def scale_features(x: Tensor | SparseMatrix, factor: Tensor, offset: Tensor | None) -> Tensor | SparseMatrix: ...


def scale_features(x: Tensor | SparseMatrix, factor: Tensor, offset: Tensor | None) -> Tensor | SparseMatrix:
    """Return ``(x - offset) * factor``.

    Args:
        x: ``[nodes, columns]``, floating point: dense, ``torch.sparse_csr``, ``torch.sparse_coo`` or a
            :class:`~mixq_rl.sparse.SparseMatrix`.
        factor: floating point ``[columns]``, powers of two.
        offset: floating point ``[columns]``, or None: all 0. Features with an offset are not sparse.

    Returns:
        features in the dtype of ``x``, at least float32: sparse ones in their layout, unless there is an offset.
    """
    if isinstance(x, SparseMatrix):
        if offset is not None:
            return scale_features(x.to_dense(), factor, offset)
        return x.with_value(x.value * factor.to(x.dtype)[x.csr.col.long()])
    if x.element_size() < 4:
        x = x.float()
    if offset is not None:
        dense = x.to_dense() if x.layout is not torch.strided else x
        return (dense - offset.to(x.dtype)) * factor.to(x.dtype)
    if x.layout is torch.sparse_csr:
        values = x.values() * factor.to(x.dtype)[x.col_indices().long()]
        return torch.sparse_csr_tensor(x.crow_indices(), x.col_indices(), values, x.shape, check_invariants=False)
    if x.layout is torch.sparse_coo:
        indices = x._indices()
        values = x._values() * factor.to(x.dtype)[indices[1]]
        return torch.sparse_coo_tensor(indices, values, x.shape, check_invariants=False)
    return x * factor.to(x.dtype)


def _medians(x: Tensor) -> Tensor:
    """Return the median magnitude of each column's entries that are not 0, float64; 0 for columns of zeros."""
    # On a CPU: torch has no deterministic median on a GPU.
    magnitude = x.detach().abs().double().cpu()
    medians = torch.where(magnitude > 0, magnitude, torch.nan).nanmedian(dim=0).values
    return medians.nan_to_num(0.0).to(x.device)


def _power_of_two(x: Tensor) -> Tensor:
    """Return the powers of two nearest to positive numbers, on a logarithmic scale."""
    exponents = x.log2().round().clamp(-_MAX_EXPONENT, _MAX_EXPONENT).tolist()
    return x.new_tensor([2.0**exponent for exponent in exponents])  # exact, as torch's powers need not be
