"""Topology-adaptive graph convolution."""

from typing import Any

from torch import nn

from mixq_rl.errors import InputError
from mixq_rl.graph import Graph
from mixq_rl.nn.addition import Add
from mixq_rl.nn.linear import Linear
from mixq_rl.nn.operator import Value
from mixq_rl.nn.propagation import Propagate, has_entries
from mixq_rl.propagation import Propagation
from mixq_rl.quantization import Granularity

__all__ = ["TAGConv"]


class TAGConv(nn.Module):
    r"""Topology-adaptive graph convolution of Du et al. (2017), with a bit-width for each of its parts.

    .. math::
        X' = \sigma\left(\sum_{k=0}^{K} (D^{-1/2} A D^{-1/2})^k X W_k + b\right)

    The sum is computed from the highest power down, :math:`H_k = X W_k + \hat{A} H_{k+1}`. So propagations gather rows
    of ``out_channels`` columns, and every product takes X itself.

    Components, for k from K down: ``weight_k``, ``message_k`` (X W_k) and, for k < K, ``adjacency_k`` (unless all
    its entries are 1: the propagation neither normalises nor has weights), ``aggregate_k`` (of :math:`H_{k+1}`) and
    ``update_k`` (:math:`H_k`).

    Args:
        in_channels: number of features of a node.
        out_channels: number of features of a node in the result.
        name: name of the layer; its components are called ``name.weight_0`` and so on.
        hops: K, at least 1.
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
        hops: int = 3,
        relu: bool = False,
        bias: bool = True,
        propagation: Propagation | None = None,
    ) -> None:
        super().__init__()
        if hops < 1:
            raise InputError(f"layer {name!r} of {hops} hops: at least 1 is needed")
        propagation = propagation or Propagation("symmetric", "keep")
        linears, propagations, sums = [], [], []
        for hop in range(hops, -1, -1):
            names = (f"{name}.weight_{hop}", f"{name}.message_{hop}")
            linears.append(Linear(in_channels, out_channels, names=names, kind="message", bias=False))
            if hop == hops:
                continue
            adjacency = f"{name}.adjacency_{hop}" if has_entries(propagation) else None
            propagations.append(Propagate(propagation, adjacency=adjacency, aggregate=f"{name}.aggregate_{hop}"))
            channels = out_channels if bias and not hop else None
            sums.append(Add(f"{name}.update_{hop}", bias_channels=channels, relu=relu and not hop))
        self.highest = linears[0]
        self.hops = nn.ModuleList(nn.ModuleList(parts) for parts in zip(propagations, linears[1:], sums, strict=True))

    def reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, Linear | Propagate | Add):
                module.reset_parameters()

    def forward(self, x: Value, graph: Graph | None = None) -> Any:
        """Compute in the arithmetic of ``x``."""
        hidden = self.highest(x)
        hops: Any = self.hops
        for propagate, linear, add in hops:
            hidden = add(propagate(hidden, graph=graph), linear(x))
        return hidden
