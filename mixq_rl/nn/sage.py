"""GraphSAGE."""

from typing import Any, Literal

from torch import nn

from mixq_rl.graph import Graph, Propagation
from mixq_rl.nn.addition import Add
from mixq_rl.nn.linear import Linear
from mixq_rl.nn.operator import Value
from mixq_rl.nn.propagation import Propagate
from mixq_rl.quantization import Granularity

__all__ = ["SAGEConv"]


class SAGEConv(nn.Module):
    r"""GraphSAGE layer of Hamilton et al. (2017), with a bit-width for each of its parts.

    .. math::
        X'_i = \sigma\left(r_i \sum_{j \in N(i)} X_j W + X_i W_r + b\right)

    :math:`r_i` is :math:`1 / d_i` (mean) or 1 (sum). The product with W comes before the sum: the result is the same,
    and the sum gathers narrower rows in layers that narrow. On integers the aggregate and the root's part are brought
    to one scale and added (:class:`~mixq_rl.nn.addition.Add`).

    Components: ``weight``, ``message`` (XW), ``aggregate`` and, with the root weight, ``root_weight``, ``root``
    (X W_r), ``update`` (the sum). The adjacency has no weights and is no component.

    Args:
        in_channels: number of features of a node.
        out_channels: number of features of a node in the result.
        name: name of the layer; its components are called ``name.weight`` and so on.
        aggregation: ``"mean"`` or ``"sum"``.
        root_weight: whether there is a weight :math:`W_r`.
        relu: whether :math:`\sigma` is ReLU or the identity.
        bias: whether there is a bias b.

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
        aggregation: Literal["mean", "sum"] = "mean",
        root_weight: bool = True,
        relu: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.linear = Linear(
            in_channels, out_channels, names=(f"{name}.weight", f"{name}.message"), kind="message", bias=False
        )
        bias_channels = out_channels if bias else None
        self.propagate = Propagate(
            Propagation("mean" if aggregation == "mean" else "none"),
            adjacency=None,
            aggregate=f"{name}.aggregate",
            bias_channels=None if root_weight else bias_channels,
            relu=relu and not root_weight,
        )
        self.root: Linear | None = None
        self.add: Add | None = None
        if root_weight:
            names = (f"{name}.root_weight", f"{name}.root")
            self.root = Linear(in_channels, out_channels, names=names, kind="message", bias=False)
            self.add = Add(f"{name}.update", bias_channels=bias_channels, relu=relu)

    def reset_parameters(self) -> None:
        for part in (self.linear, self.propagate, self.root, self.add):
            if part is not None:
                part.reset_parameters()

    def forward(self, x: Value, graph: Graph | None = None) -> Any:
        """Compute in the arithmetic of ``x``."""
        aggregate = self.propagate(self.linear(x), graph=graph)
        if self.root is None or self.add is None:
            return aggregate
        return self.add(aggregate, self.root(x))
