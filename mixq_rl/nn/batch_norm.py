"""Batch normalisation of quantized values: a factor and a shift for each column, which requantization absorbs."""

import torch
from torch import Tensor, nn

__all__ = ["factor_and_shift", "orientation"]

_LEAST_DEVIATION = 0.05


def factor_and_shift(norm: nn.BatchNorm1d, moments: tuple[Tensor, Tensor, int] | None = None) -> tuple[Tensor, Tensor]:
    """Return factor and shift of batch normalisation, float64 ``[columns]``, with gradients.

    In training they come from the statistics of the batch, which the running statistics follow: at few bits the values
    have other means and variances than those of the float network. A column of few levels can be almost constant, so
    its standard deviation counts as at least 5 % of its mean: a larger factor would give a shift beyond fixed point.

    Args:
        norm: the batch normalisation, with running statistics.
        moments: variance and mean of the batch's columns before normalisation, float64 ``[columns]``, and its number of
            rows; only needed, and then given, in training.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    if moments is not None and moments[2] > 1:
        variance, mean, rows = moments
        variance = torch.maximum(variance, (_LEAST_DEVIATION * mean.detach()).square())
        _follow(norm, mean.detach(), variance.detach() * rows / (rows - 1))
    factor = (variance + norm.eps).rsqrt()
    factor = factor if norm.weight is None else factor * norm.weight
    shift = -mean * factor
    return factor, shift if norm.bias is None else shift + norm.bias


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
