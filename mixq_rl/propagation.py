"""Kinds of propagation: the edges that a layer sums over, and the normalization of the sums."""

import math
from dataclasses import dataclass, replace

from mixq_rl.edge_transforms import EdgeTransform, RandomTransform
from mixq_rl.storage.artifacts import storable

__all__ = ["Propagation"]

NORMALIZATIONS = ("none", "mean", "root", "symmetric", "absolute")
SELF_LOOPS = ("keep", "add", "replace", "remaining")


@storable
@dataclass(frozen=True)
class Propagation:
    r"""Kind of propagation of a layer: the edges that it sums over, and the normalization of the sums.

    Attributes:
        normalization: ``"none"``: sums; ``"mean"``: sums times :math:`1 / d_i`; ``"root"``: sums times
            :math:`d_i^{-1/2}`, whose magnitudes grow less with the degree than those of sums; ``"symmetric"``: entries
            :math:`d_i^{-1/2} w_{ij} d_j^{-1/2}` (Kipf and Welling, 2017). :math:`d_i` is the number of edges into node
            i, including self-loops, or in the last case the sum of their weights. ``"absolute"``: the same as
            ``"symmetric"`` with sums of the weights' magnitudes, which negative weights have too.
        self_loops: ``"keep"``: self-loops of the graph; ``"add"``: one more at every node; ``"replace"``: exactly one
            at every node; ``"remaining"``: those of the graph, and one at every node that has none.
        loop_weight: weight of the added self-loops if edges have weights; without edge weights it is 1, as in PyTorch
            Geometric.
        weighted: whether edge weights are used; without edge weights all are 1.
        pooled: whether each row is a graph that sums over its nodes, instead of a node that sums over its neighbours.
        transforms: changes of the graph's edges, in this order, before all else.

    Raises:
        ValueError: for an unknown normalization or treatment of self-loops, or a loop weight that is not finite.
    """

    normalization: str = "none"
    self_loops: str = "keep"
    loop_weight: float = 1.0
    weighted: bool = False
    pooled: bool = False
    transforms: tuple[EdgeTransform, ...] = ()

    def __post_init__(self) -> None:
        if not math.isfinite(self.loop_weight):
            raise ValueError(f"a loop weight of {self.loop_weight} is not a number")
        if self.normalization not in NORMALIZATIONS or self.self_loops not in SELF_LOOPS:
            raise ValueError(
                f"propagation {self.normalization!r} with self-loops {self.self_loops!r}: "
                f"known are {NORMALIZATIONS} with {SELF_LOOPS}"
            )

    @property
    def by_degree(self) -> bool:
        """Whether both ends of an edge are scaled by their degrees."""
        return self.normalization in ("symmetric", "absolute")

    @property
    def takes_edge_weight(self) -> bool:
        """Whether the entries depend on the weights of the graph's edges."""
        return self.weighted and not any(transform.makes_weights for transform in self.transforms)

    @property
    def is_random(self) -> bool:
        """Whether edges are dropped at random in training."""
        return any(isinstance(transform, RandomTransform) for transform in self.transforms)

    @property
    def evaluated(self) -> "Propagation":
        """The propagation in evaluation, which drops no edges."""
        if not self.is_random:
            return self
        lasting = (transform for transform in self.transforms if not isinstance(transform, RandomTransform))
        return replace(self, transforms=tuple(lasting))

    def at(self, training: bool) -> "Propagation":
        """Return the propagation in training or in evaluation."""
        return self if training else self.evaluated
