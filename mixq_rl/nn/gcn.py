"""Graph convolution."""

from typing import Any

from torch import nn

from mixq_rl.graph import Graph
from mixq_rl.nn.linear import Linear
from mixq_rl.nn.operator import Value
from mixq_rl.nn.propagation import Propagate, has_entries
from mixq_rl.propagation import Propagation
from mixq_rl.quantization import Granularity

__all__ = ["GCNConv"]


class GCNConv(nn.Module):
    r"""Graph convolution of Kipf and Welling (2017), with a bit-width for each of its parts.

    .. math::
        X' = \sigma\left(\hat{D}^{-1/2} (A + I) \hat{D}^{-1/2} X W + b\right)

    On integers: the message :math:`\xi = \mathrm{requantize}(\sum (q - z) \omega)` of
    :class:`~mixq_rl.nn.linear.Linear`, and the aggregate :math:`\mathrm{requantize}(\sum (\alpha - z_a)(\xi - z_m))` of
    :class:`~mixq_rl.nn.propagation.Propagate`, where :math:`\alpha` are the integers of
    :math:`w_{ij} \hat{d}_j^{-1/2}` and :math:`\hat{d}_i^{-1/2}` is folded into the requantization.

    Components: ``weight``, ``message`` (XW), ``adjacency`` (unless all its entries are 1: the propagation
    neither normalises nor has weights), ``aggregate``.

    Args:
        in_channels: number of features of a node.
        out_channels: number of features of a node in the result.
        name: name of the layer; its components are called ``name.weight`` and so on.
        relu: whether :math:`\sigma` is ReLU or the identity.
        bias: whether there is a bias b.
        propagation: the adjacency matrix; None: that of the equation, without edge weights.

    Shapes:
        x ``[nodes, in_channels]`` to ``[nodes, out_channels]``.
    """

    takes = Granularity.ROW

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        name: str,
        relu: bool = False,
        bias: bool = True,
        propagation: Propagation | None = None,
    ) -> None:
        super().__init__()
        self.linear = Linear(
            in_channels, out_channels, names=(f"{name}.weight", f"{name}.message"), kind="message", bias=False
        )
        propagation = propagation or Propagation("symmetric", "remaining")
        self.propagate = Propagate(
            propagation,
            adjacency=f"{name}.adjacency" if has_entries(propagation) else None,
            aggregate=f"{name}.aggregate",
            bias_channels=out_channels if bias else None,
            relu=relu,
        )

    def reset_parameters(self) -> None:
        self.linear.reset_parameters()
        self.propagate.reset_parameters()

    def forward(self, x: Value, graph: Graph | None = None) -> Any:
        """Compute in the arithmetic of ``x``."""
        return self.propagate(self.linear(x), graph=graph)
