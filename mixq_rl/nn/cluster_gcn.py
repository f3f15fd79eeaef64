"""Cluster-GCN."""

from mixq_rl.nn.rooted import RootedConv
from mixq_rl.propagation import Propagation

__all__ = ["ClusterGCNConv"]


class ClusterGCNConv(RootedConv):
    r"""Layer of Cluster-GCN (Chiang et al., 2019), with a bit-width for each of its parts.

    .. math::
        X' = \sigma\left((\hat{A} + \lambda\, \mathrm{diag}(\hat{A})) X W + X W_r + b\right), \quad
        \hat{A} = (D + I)^{-1} (A + I)

    Self-loops of the graph are replaced by exactly one at every node. On integers they have the weight
    :math:`1 + \lambda`, and :math:`(D + I)^{-1}` is folded into the requantization of the sums.

    Components: ``weight``, ``message`` (XW), ``adjacency`` (unless :math:`\lambda` is 0), ``aggregate``,
    ``root_weight``, ``root`` (X W_r), ``update`` (the sum).

    Args:
        in_channels: number of features of a node.
        out_channels: number of features of a node in the result.
        name: name of the layer; its components are called ``name.weight`` and so on.
        diagonal: :math:`\lambda`.
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
        diagonal: float = 0.0,
        relu: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            name=name,
            propagation=Propagation("mean", "replace"),
            epsilon=diagonal,
            relu=relu,
            bias=bias,
        )
