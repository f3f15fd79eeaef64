"""Batch normalisation of quantized values: a factor and a shift for each column, which requantization absorbs."""

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

__all__ = ["Moments", "batch_norms", "factor_and_shift", "orientation"]

_LEAST_DEVIATION = 0.05
_MOST_STEPS = 2**11  # half of what fixed point holds, because scales go on learning


class Moments(NamedTuple):
    """Mean and variance of each column of a batch.

    Attributes:
        mean: float64 ``[columns]``, with gradient.
        variance: mean square of the deviations, float64 ``[columns]``, with gradient.
        rows: number of rows of the batch.
    """

    mean: Tensor
    variance: Tensor
    rows: int

    @classmethod
    def of(cls, values: Tensor) -> Self:
        """Return the moments of ``values``, ``[rows, columns]``."""
        mean = values.mean(dim=0)
        variance = (values - mean).square().mean(dim=0)  # on a CPU faster than torch.var_mean
        return cls(mean.double(), variance.double(), len(values))

    def times(self, factor: Tensor) -> "Moments":
        """Return the moments of the batch times ``factor``, ``[]`` or ``[columns]``."""
        return Moments(self.mean * factor, self.variance * factor.square(), self.rows)


def batch_norms(model: nn.Module) -> list[nn.BatchNorm1d]:
    """Return the batch normalisations of a model."""
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]


def factor_and_shift(
    norm: nn.BatchNorm1d, moments: Moments | None = None, *, bias: Tensor | None = None, step: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return factor and shift of a bias and batch normalisation, float64 ``[columns]``, with gradients.

    In training they come from the statistics of the batch, which the running statistics follow: at few bits the values
    have other means and variances than those of the float network. A column of few levels can be almost constant, so
    its standard deviation counts as at least 5 % of its mean, or as more if the shift would be beyond 2,048 steps of
    the result: a larger factor would give a shift beyond fixed point.

    Args:
        norm: the batch normalisation, with running statistics.
        moments: those of the batch, without the bias, in training; None: the running statistics are used.
        bias: added to the values before normalisation, ``[columns]``, or None.
        step: scale of the result, float64 ``[]``; None: any shift fits.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    added = 0.0 if bias is None else bias.double()
    mean, variance = norm.running_mean.double() - added, norm.running_var.double()
    if moments is not None and moments.rows > 1:
        mean, rows = moments.mean, moments.rows
        variance = torch.maximum(moments.variance, (_least_deviation(norm, step) * mean.detach()).square())
        _follow(norm, (mean + added).detach(), variance.detach() * rows / (rows - 1))
    factor = (variance + norm.eps).rsqrt()
    factor = factor if norm.weight is None else factor * norm.weight
    shift = -mean * factor
    return factor, shift if norm.bias is None else shift + norm.bias


def _least_deviation(norm: nn.BatchNorm1d, step: Tensor | None) -> Tensor:
    """Return the least standard deviation of each column in units of its mean, ``[]`` or ``[columns]``."""
    assert norm.running_mean is not None
    if step is None:
        return norm.running_mean.new_tensor(_LEAST_DEVIATION)
    steps = _MOST_STEPS * step.detach()
    weight = torch.ones_like(steps) if norm.weight is None else norm.weight.detach().abs()
    return (weight / steps).clamp(min=_LEAST_DEVIATION)


def _follow(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor) -> None:
    """Update the running statistics as PyTorch does."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    with torch.no_grad():
        norm.num_batches_tracked += 1
        share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
        norm.running_var.lerp_(variance.to(norm.running_var.dtype), share)


def orientation(norm: nn.BatchNorm1d | None) -> Tensor | None:
    """Return the signs of a batch normalisation's factors, +1 or -1 ``[columns]``, or None if all are +1."""
    if norm is None or norm.weight is None:
        return None
    return torch.where(norm.weight.detach() < 0, -1.0, 1.0).to(norm.weight.dtype)
