"""Base class of layers that add a product of the node itself, the root, to an aggregate of its neighbours."""

from typing import Any, Literal

from torch import nn

from mixq_rl.graph import Graph
from mixq_rl.nn.addition import Add
from mixq_rl.nn.linear import Linear
from mixq_rl.nn.operator import Value
from mixq_rl.nn.pooling import MaxPool
from mixq_rl.nn.propagation import Propagate, has_entries
from mixq_rl.propagation import Propagation
from mixq_rl.quantization import Granularity

__all__ = ["Aggregation", "RootedConv"]

Aggregation = Literal["mean", "sum", "max"]


class RootedConv(nn.Module):
    r"""Aggregate of the neighbours plus a product of the node itself, with a bit-width for each of its parts.

    .. math::
        X'_i = \sigma\left(r_i \sum_{j \in N(i)} v_{ij} X_j W + X_i W_r + b\right), \quad \text{or} \quad
        X'_i = \sigma\left(\max_{j \in N(i)} X_j W + X_i W_r + b\right)

    The product with W comes before a sum: the result is the same, and the sum gathers narrower rows in layers that
    narrow. It comes after a maximum, which compares integers of one scale. On integers the aggregate and the root's
    part are brought to one scale and added (:class:`~mixq_rl.nn.addition.Add`).

    Components of a sum: ``weight``, ``message`` (XW), ``adjacency`` (unless all v are 1), ``aggregate``; of a maximum:
    ``weight``, ``aggregate`` (the product). With the root weight then ``root_weight``, ``root`` (X W_r), ``update``
    (the sum).

    Args:
        in_channels: number of features of a node.
        out_channels: number of features of a node in the result.
        name: name of the layer; its components are called ``name.weight`` and so on.
        propagation: the neighbours, and the entries v and row scales r of a sum.
        maximum: whether the aggregate is the maximum; 0 for a node without neighbours.
        epsilon: the self-loops that the propagation adds get the weight 1 + epsilon; 0: they have weight 1.
        root_weight: whether there is a weight :math:`W_r`.
        relu: whether :math:`\sigma` is ReLU or the identity.
        bias: whether there is a bias b.

    Attributes:
        takes: granularity of scales that the layer accepts.

    Shapes:
        x ``[nodes, in_channels]`` to ``[nodes, out_channels]``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        name: str,
        propagation: Propagation,
        maximum: bool = False,
        epsilon: float = 0.0,
        root_weight: bool = True,
        relu: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        alone = not root_weight
        self.takes = Granularity.TENSOR if maximum else Granularity.ROW
        self.linear = Linear(
            in_channels,
            out_channels,
            names=(f"{name}.weight", f"{name}.aggregate" if maximum else f"{name}.message"),
            kind="aggregate" if maximum else "message",
            bias=bias and alone and maximum,
            relu=relu and alone and maximum,
        )
        bias_channels = out_channels if bias else None
        self.maximum = MaxPool(propagation) if maximum else None
        self.propagate: Propagate | None = None
        if not maximum:
            self.propagate = Propagate(
                propagation,
                adjacency=f"{name}.adjacency" if has_entries(propagation) or epsilon else None,
                aggregate=f"{name}.aggregate",
                bias_channels=bias_channels if alone else None,
                relu=relu and alone,
                epsilon=epsilon or None,
            )
        self.root: Linear | None = None
        self.add: Add | None = None
        if root_weight:
            names = (f"{name}.root_weight", f"{name}.root")
            self.root = Linear(in_channels, out_channels, names=names, kind="message", bias=False)
            self.add = Add(f"{name}.update", bias_channels=bias_channels, relu=relu)

    @property
    def last(self) -> Linear | Propagate | Add:
        """The operator that gives the result, and has the bias."""
        return self.add or self.propagate or self.linear

    def reset_parameters(self) -> None:
        for part in (self.linear, self.propagate, self.root, self.add):
            if part is not None:
                part.reset_parameters()

    def forward(self, x: Value, graph: Graph | None = None) -> Any:
        """Compute in the arithmetic of ``x``."""
        if self.propagate is not None:
            aggregate = self.propagate(self.linear(x), graph=graph)
        else:
            assert self.maximum is not None
            aggregate = self.linear(self.maximum(x, graph=graph))
        if self.root is None or self.add is None:
            return aggregate
        return self.add(aggregate, self.root(x))
