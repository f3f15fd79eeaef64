"""Parameters carried over from float layers to quantizable ones."""

from torch import Tensor, nn

__all__ = ["carry_over", "carry_over_weight"]


def carry_over(layer: nn.Module, name: str, values: Tensor | None, *, learned: bool | None = None) -> None:
    """Give ``layer`` a parameter of such values, if there are any.

    Args:
        layer: whose parameter it becomes.
        name: of the parameter.
        values: in any shape that the layer takes, or None.
        learned: whether it is; None: as ``values`` are.
    """
    if values is not None:
        requires_grad = values.requires_grad if learned is None else learned
        setattr(layer, name, nn.Parameter(values.detach().clone(), requires_grad=requires_grad))


def carry_over_weight(layer: nn.Module, weight: Tensor) -> None:
    """Give ``layer`` a weight ``[out_channels, in_channels]``, which it holds as ``[in_channels, out_channels]``."""
    carry_over(layer, "weight", weight.t().contiguous(), learned=weight.requires_grad)
