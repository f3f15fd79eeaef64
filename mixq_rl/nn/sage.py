"""GraphSAGE."""

from mixq_rl.nn.rooted import Aggregation, RootedConv
from mixq_rl.propagation import Propagation

__all__ = ["SAGEConv"]


class SAGEConv(RootedConv):
    r"""GraphSAGE layer of Hamilton et al. (2017), with a bit-width for each of its parts.

    .. math::
        X'_i = \sigma\left(\mathrm{agg}_{j \in N(i)} X_j W + X_i W_r + b\right)

    Components: ``weight``, ``message`` (XW; not with ``"max"``), ``aggregate`` and, with the root weight,
    ``root_weight``, ``root`` (X W_r), ``update`` (the sum). The adjacency has no weights and is no component. See
    :class:`~mixq_rl.nn.rooted.RootedConv`.

    Args:
        in_channels: number of features of a node.
        out_channels: number of features of a node in the result.
        name: name of the layer; its components are called ``name.weight`` and so on.
        aggregation: agg: ``"mean"``, ``"sum"`` or ``"max"``; 0 for a node without neighbours.
        root_weight: whether there is a weight :math:`W_r`.
        relu: whether :math:`\sigma` is ReLU or the identity.
        bias: whether there is a bias b.

    Shapes:
        x ``[nodes, in_channels]`` to ``[nodes, out_channels]``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        name: str,
        aggregation: Aggregation = "mean",
        root_weight: bool = True,
        relu: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            name=name,
            propagation=Propagation("mean" if aggregation == "mean" else "none"),
            maximum=aggregation == "max",
            root_weight=root_weight,
            relu=relu,
            bias=bias,
        )
