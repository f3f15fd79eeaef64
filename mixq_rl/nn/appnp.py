"""Personalized propagation of predictions."""

from typing import Any

from torch import nn

from mixq_rl.errors import InputError
from mixq_rl.graph import Graph
from mixq_rl.nn.addition import Add
from mixq_rl.nn.operator import Value
from mixq_rl.nn.propagation import Propagate, has_entries
from mixq_rl.propagation import Propagation
from mixq_rl.quantization import Granularity

__all__ = ["APPNP"]


class APPNP(nn.Module):
    r"""Approximate personalized propagation of Gasteiger et al. (2019), with a bit-width for each of its parts.

    .. math::
        H_0 = X, \quad H_k = (1 - \alpha) \hat{A} H_{k-1} + \alpha X, \quad X' = \sigma(H_K), \quad
        \hat{A} = \hat{D}^{-1/2} (A + I) \hat{D}^{-1/2}

    The layer has no weights. On integers :math:`1 - \alpha` and :math:`\alpha` are folded into the fixed-point numbers
    that bring the two addends to one scale (:class:`~mixq_rl.nn.addition.Add`).

    Components, for k from 1 to K: ``adjacency_k`` (unless all its entries are 1: the propagation neither normalises nor
    has weights), ``aggregate_k`` (:math:`\hat{A} H_{k-1}`), ``update_k`` (:math:`H_k`).

    Args:
        name: name of the layer; its components are called ``name.adjacency_1`` and so on.
        hops: K, at least 1.
        teleport: :math:`\alpha`, within 0...1.
        relu: whether :math:`\sigma` is ReLU or the identity.
        propagation: the adjacency matrix; None: that of the equation, without edge weights.

    Shapes:
        x ``[nodes, features]`` to ``[nodes, features]``.

    Raises:
        InputError: for fewer hops than 1, or a teleport probability outside 0...1.
    """

    takes = Granularity.COLUMN

    def __init__(
        self,
        *,
        name: str,
        hops: int = 10,
        teleport: float = 0.1,
        relu: bool = False,
        propagation: Propagation | None = None,
    ) -> None:
        super().__init__()
        if hops < 1 or not 0 <= teleport <= 1:
            raise InputError(
                f"layer {name!r} of {hops} hops that teleports with probability {teleport}: "
                f"at least 1 hop and a probability within 0...1 are needed"
            )
        propagation = propagation or Propagation("symmetric", "remaining")
        parts = []
        for hop in range(1, hops + 1):
            adjacency = f"{name}.adjacency_{hop}" if has_entries(propagation) else None
            propagate = Propagate(propagation, adjacency=adjacency, aggregate=f"{name}.aggregate_{hop}")
            coefficients = (1 - teleport, teleport)
            add = Add(f"{name}.update_{hop}", coefficients=coefficients, relu=relu and hop == hops)
            parts.append(nn.ModuleList((propagate, add)))
        self.hops = nn.ModuleList(parts)

    def forward(self, x: Value, graph: Graph | None = None) -> Any:
        """Compute in the arithmetic of ``x``."""
        hops: Any = self.hops
        hidden: Any = x
        for propagate, add in hops:
            hidden = add(propagate(hidden, graph=graph), x)
        return hidden
