"""Copies of parameters from float layers to quantizable ones."""

from torch import Tensor, nn

__all__ = ["carry_over", "carry_over_weight"]


def carry_over(layer: nn.Module, name: str, values: Tensor | None, *, learned: bool | None = None) -> None:
    """Give ``layer`` a parameter with given values, unless they are None.

    Args:
        layer: the layer that gets the parameter.
        name: name of the parameter.
        values: the values, or None.
        learned: whether the parameter is learned; None: as ``values`` are.
    """
    if values is not None:
        requires_grad = values.requires_grad if learned is None else learned
        setattr(layer, name, nn.Parameter(values.detach().clone(), requires_grad=requires_grad))


def carry_over_weight(layer: nn.Module, weight: Tensor) -> None:
    """Give ``layer`` a weight ``[out_channels, in_channels]``, stored as ``[in_channels, out_channels]``."""
    carry_over(layer, "weight", weight.t().contiguous(), learned=weight.requires_grad)
