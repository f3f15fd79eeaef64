"""Graph convolution with a weight of its own for the node itself."""

from mixq_rl.errors import InputError
from mixq_rl.nn.rooted import Aggregation, RootedConv
from mixq_rl.propagation import Propagation

__all__ = ["GraphConv"]


class GraphConv(RootedConv):
    r"""Layer of Morris et al. (2019), "Weisfeiler and Leman Go Neural", with a bit-width for each of its parts.

    .. math::
        X'_i = \sigma\left(\mathrm{agg}_{j \in N(i)} e_{ij} X_j W + X_i W_r + b\right)

    :math:`e_{ij}` are the edge weights, or 1. The mean divides by the number of edges.

    Components: ``weight``, ``message`` (XW; not with ``"max"``), ``adjacency`` (e; only with edge weights),
    ``aggregate``, ``root_weight``, ``root`` (X W_r), ``update`` (the sum). See
    :class:`~mixq_rl.nn.rooted.RootedConv`.

    Args:
        in_channels: number of features of a node.
        out_channels: number of features of a node in the result.
        name: name of the layer; its components are called ``name.weight`` and so on.
        aggregation: agg: ``"sum"``, ``"mean"`` or ``"max"``; 0 for a node without neighbours.
        weighted: whether edge weights are used; not with ``"max"``.
        relu: whether :math:`\sigma` is ReLU or the identity.
        bias: whether there is a bias b.

    Shapes:
        x ``[nodes, in_channels]`` to ``[nodes, out_channels]``.

    Raises:
        InputError: for a maximum with edge weights, whose products would need a scale for each edge.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        name: str,
        aggregation: Aggregation = "sum",
        weighted: bool = False,
        relu: bool = False,
        bias: bool = True,
    ) -> None:
        if weighted and aggregation == "max":
            raise InputError(f"layer {name!r} takes the maximum of weighted neighbours: use the sum or the mean")
        super().__init__(
            in_channels,
            out_channels,
            name=name,
            propagation=Propagation("mean" if aggregation == "mean" else "none", weighted=weighted),
            maximum=aggregation == "max",
            relu=relu,
            bias=bias,
        )
