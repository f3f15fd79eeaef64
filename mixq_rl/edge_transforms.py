"""Changes of a graph's edges before a layer sums over them: loops, merged edges, weights, edges dropped in training."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mixq_rl.edges import check_degree, inverse_root
from mixq_rl.storage.artifacts import storable

__all__ = [
    "AddSelfLoops",
    "Coalesce",
    "DropEdges",
    "DropNodes",
    "EdgeTransform",
    "Edges",
    "Normalize",
    "RandomTransform",
    "RemoveSelfLoops",
    "ToUndirected",
]

REDUCTIONS = {"add": "sum", "sum": "sum", "mean": "mean", "min": "amin", "max": "amax", "mul": "prod"}


class Edges(NamedTuple):
    """Edges of a graph.

    Attributes:
        edge_index: sources and targets, int64 ``[2, edges]``.
        weight: weights, float64 ``[edges]``; None: all 1.
    """

    edge_index: Tensor
    weight: Tensor | None

    def select(self, chosen: Tensor) -> "Edges":
        """Return some of the edges, by a mask or by indices."""
        return Edges(self.edge_index[:, chosen], None if self.weight is None else self.weight[chosen])

    def append(self, index: Tensor, weight: Tensor) -> "Edges":
        """Return the edges and more edges."""
        weights = None if self.weight is None else torch.cat([self.weight, weight])
        return Edges(torch.cat([self.edge_index, index], dim=1), weights)


def _check_finite(weight: float) -> None:
    if not math.isfinite(weight):
        raise ValueError(f"a self-loop of weight {weight}: give it a number")


class EdgeTransform:
    """Base class of changes of a graph's edges. They are the same in float, fake-quantized and integer arithmetic.

    A subclass is a frozen dataclass of plain values, decorated with :func:`~mixq_rl.storage.artifacts.storable`.
    """

    def __call__(self, edges: Edges, num_nodes: int) -> Edges:
        """Return the changed edges of a graph."""
        raise NotImplementedError

    @property
    def makes_weights(self) -> bool:
        """Whether the edges have weights of the transform's own afterwards, and weights given to it have no effect."""
        return False


class RandomTransform(EdgeTransform):
    """Base class of transforms that drop edges at random in training. Networks in evaluation do not have them.

    Transforms of one network with equal fields and equal transforms before them drop the same edges.
    """

    def draw(self, edges: Edges, num_nodes: int) -> Tensor:
        """Return which edges to keep, bool ``[edges]``, drawn by torch's generator."""
        raise NotImplementedError

    def kept(self, edges: Edges, keep: Tensor) -> Edges:
        """Return the edges that a draw keeps."""
        return edges.select(keep)

    def __call__(self, edges: Edges, num_nodes: int) -> Edges:
        return self.kept(edges, self.draw(edges, num_nodes))


@storable
@dataclass(frozen=True)
class AddSelfLoops(EdgeTransform):
    """Adds a self-loop at every node (``add_self_loops`` of PyTorch Geometric).

    Attributes:
        fill_value: weight of the new self-loops, if edges have weights.
        remaining: whether a node's own self-loops are replaced by one, which keeps the weight of the last of them
            (``add_remaining_self_loops``).
        every_node: whether every node gets one, or no node behind the last one with an edge: PyTorch Geometric's
            functions know no others, unless they are given the number of nodes.
    """

    fill_value: float = 1.0
    remaining: bool = False
    every_node: bool = True

    def __post_init__(self) -> None:
        _check_finite(self.fill_value)

    def __call__(self, edges: Edges, num_nodes: int) -> Edges:
        every = torch.arange(num_nodes, device=edges.edge_index.device)
        linked = torch.cat([edges.edge_index.flatten(), every.new_full((1,), -1)])
        nodes = every if self.every_node else every[every <= linked.max()]
        weight = torch.full((num_nodes,), self.fill_value, dtype=torch.float64, device=nodes.device)
        if self.remaining:
            is_loop = edges.edge_index[0] == edges.edge_index[1]
            loops, edges = edges.select(is_loop), edges.select(~is_loop)
            if loops.weight is not None:
                weight = weight.index_put((loops.edge_index[0],), loops.weight)
        return edges.append(nodes.expand(2, -1), weight[nodes])


@storable
@dataclass(frozen=True)
class RemoveSelfLoops(EdgeTransform):
    """Removes all self-loops (``remove_self_loops`` of PyTorch Geometric)."""

    def __call__(self, edges: Edges, num_nodes: int) -> Edges:
        return edges.select(edges.edge_index[0] != edges.edge_index[1])


@storable
@dataclass(frozen=True)
class Coalesce(EdgeTransform):
    """Merges edges with equal ends into one (``coalesce`` of PyTorch Geometric).

    Attributes:
        reduce: how their weights are merged, a key of ``REDUCTIONS``.
    """

    reduce: str = "add"

    def __post_init__(self) -> None:
        if self.reduce not in REDUCTIONS:
            raise ValueError(f"reduction {self.reduce!r} is not among {', '.join(REDUCTIONS)}")

    def __call__(self, edges: Edges, num_nodes: int) -> Edges:
        keys, group = torch.unique(edges.edge_index[0] * num_nodes + edges.edge_index[1], return_inverse=True)
        index = torch.stack([keys // num_nodes, keys % num_nodes]) if num_nodes else edges.edge_index
        if edges.weight is None:
            return Edges(index, None)
        merged = edges.weight.new_zeros(keys.shape)
        weight = merged.scatter_reduce(0, group, edges.weight, REDUCTIONS[self.reduce], include_self=False)
        return Edges(index, weight)


@storable
@dataclass(frozen=True)
class ToUndirected(Coalesce):
    """Adds the reverse of every edge, and merges equal edges (``to_undirected`` of PyTorch Geometric)."""

    def __call__(self, edges: Edges, num_nodes: int) -> Edges:
        weight = torch.empty(0) if edges.weight is None else edges.weight
        return super().__call__(edges.append(edges.edge_index.flip(0), weight), num_nodes)


@storable
@dataclass(frozen=True)
class Normalize(EdgeTransform):
    r"""Weighs edges by :math:`d_i^{-1/2} w_{ij} d_j^{-1/2}` (``gcn_norm`` of PyTorch Geometric).

    Attributes:
        loop_weight: weight of the self-loops added at nodes without one, if edges have weights; None: none are added.
        weighted: whether weights w of the graph are used; otherwise all are 1.
        every_node: as in :class:`AddSelfLoops`.

    A call raises InvalidGraphError for weights into a node that add up to less than 0, which have no root.
    """

    loop_weight: float | None = 1.0
    weighted: bool = True
    every_node: bool = True

    def __post_init__(self) -> None:
        _check_finite(self.loop_weight or 0.0)

    @property
    def makes_weights(self) -> bool:
        return not self.weighted

    def __call__(self, edges: Edges, num_nodes: int) -> Edges:
        weight = edges.weight if self.weighted else None
        ones = torch.ones_like(edges.edge_index[0], dtype=torch.float64)
        edges = Edges(edges.edge_index, ones if weight is None else weight)
        if self.loop_weight is not None:
            fill = 1.0 if weight is None else self.loop_weight  # as PyTorch Geometric does, improved or not
            edges = AddSelfLoops(fill, remaining=True, every_node=self.every_node)(edges, num_nodes)
        (source, target), weight = edges
        assert weight is not None
        degree = weight.new_zeros(num_nodes).index_add(0, target, weight)
        check_degree(degree)
        factor = inverse_root(degree)
        factor = torch.where(factor.isfinite(), factor, 0.0)
        return Edges(edges.edge_index, factor[source] * weight * factor[target])


@storable
@dataclass(frozen=True)
class DropEdges(RandomTransform):
    """Drops edges at random in training (``dropout_edge`` and ``dropout_adj`` of PyTorch Geometric).

    Attributes:
        p: probability that an edge is dropped.
        undirected: whether an edge and its reverse stay or go together.
        site: number of the call in the network: each call draws for itself.
    """

    p: float
    undirected: bool = False
    site: int = 0

    def draw(self, edges: Edges, num_nodes: int) -> Tensor:
        source, target = edges.edge_index
        keep = torch.rand(source.shape, device=source.device) >= self.p
        return keep & (source <= target) if self.undirected else keep

    def kept(self, edges: Edges, keep: Tensor) -> Edges:
        edges = edges.select(keep)
        if not self.undirected:
            return edges
        return edges.append(edges.edge_index.flip(0), torch.empty(0) if edges.weight is None else edges.weight)


@storable
@dataclass(frozen=True)
class DropNodes(RandomTransform):
    """Drops the edges of random nodes in training (``dropout_node`` of PyTorch Geometric).

    Attributes:
        p: probability that a node loses its edges.
        site: number of the call in the network: each call draws for itself.
    """

    p: float
    site: int = 0

    def draw(self, edges: Edges, num_nodes: int) -> Tensor:
        keep = torch.rand(num_nodes, device=edges.edge_index.device) >= self.p
        return keep[edges.edge_index[0]] & keep[edges.edge_index[1]]
