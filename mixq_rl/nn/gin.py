"""Graph isomorphism layer."""

from typing import Any

from torch import nn

from mixq_rl.errors import InputError
from mixq_rl.graph import Graph
from mixq_rl.nn.operator import Value
from mixq_rl.nn.propagation import Propagate
from mixq_rl.propagation import Propagation
from mixq_rl.quantization import Granularity

__all__ = ["GINConv"]

NORMALIZATIONS = ("none", "root", "mean")


class GINConv(nn.Module):
    r"""Graph isomorphism layer of Xu et al. (2019), with a bit-width for each of its parts.

    .. math::
        X'_i = h\left(r_i \left((1 + \epsilon) X_i + \sum_{j \in N(i)} X_j\right)\right)

    The sum is one integer aggregation, in which self-loops have the weight :math:`1 + \epsilon`. If :math:`\epsilon` is
    fixed at 0, the adjacency has no weights.

    The factor r is 1, as in the paper. Then a sum grows with the number of neighbours, and a hub takes the range of the
    integers for itself. With the normalization ``"root"`` r is :math:`(d_i + 1)^{-1/2}`, where :math:`d_i` is the
    number of edges into node i. The results still depend on that number, unlike those of a mean. r is part of the
    requantization.

    Components: ``adjacency`` (unless :math:`\epsilon` is fixed at 0), ``aggregate``, and those of h.

    Args:
        mlp: h, a module that is called like an operator: with a value and ``graph=``.
        name: name of the layer; its components are called ``name.aggregate`` and so on.
        epsilon: initial value of :math:`\epsilon`.
        train_epsilon: whether :math:`\epsilon` is learned.
        normalization: the factor r: ``"none"``, ``"root"``, or ``"mean"`` for :math:`(d_i + 1)^{-1}`.

    Raises:
        InputError: for another normalization.

    Shapes:
        x ``[nodes, features]`` to the result of h for that shape.
    """

    takes = Granularity.COLUMN

    def __init__(
        self,
        mlp: nn.Module,
        *,
        name: str,
        epsilon: float = 0.0,
        train_epsilon: bool = True,
        normalization: str = "none",
    ) -> None:
        super().__init__()
        if normalization not in NORMALIZATIONS:
            raise InputError(f"normalization {normalization!r} of {name!r} is not among {NORMALIZATIONS}")
        weighted = train_epsilon or epsilon != 0
        self.propagate = Propagate(
            Propagation(normalization, self_loops="add"),
            adjacency=f"{name}.adjacency" if weighted else None,
            aggregate=f"{name}.aggregate",
            epsilon=epsilon if weighted else None,
            train_epsilon=train_epsilon,
        )
        self.mlp = mlp

    def forward(self, x: Value, graph: Graph | None = None) -> Any:
        """Compute in the arithmetic of ``x``."""
        return self.mlp(self.propagate(x, graph=graph), graph=graph)
