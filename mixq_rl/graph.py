"""Graphs."""

import copy
from typing import Self

import torch
from torch import Tensor

from mixq_rl.adjacency import Adjacency, degree_factor, normalized, row_scale
from mixq_rl.conditions import require
from mixq_rl.edge_transforms import Edges, EdgeTransform, RandomTransform
from mixq_rl.edges import (
    CHANGED,
    SortedEdges,
    check_edge_index,
    sort_edges,
    sort_nodes,
)
from mixq_rl.errors import InvalidGraphError
from mixq_rl.propagation import Propagation

__all__ = ["Graph"]


class Graph:
    """One graph, or the disjoint union of several graphs.

    Args:
        edge_index: sources and targets of the edges, int64 ``[2, edges]``.
        num_nodes: number of nodes.
        edge_weight: edge weights, floating point ``[edges]``; None: all 1.
        batch: graph of each node, int64 ``[nodes]``; None: there is one graph.
        num_graphs: number of graphs; None: one more than the greatest number in ``batch``.

    Raises:
        InvalidGraphError: for an edge to a node that does not exist, or inconsistent arguments.
    """

    def __init__(
        self,
        edge_index: Tensor,
        num_nodes: int,
        *,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        num_graphs: int | None = None,
    ) -> None:
        check_edge_index(edge_index, num_nodes)
        if edge_weight is not None:
            _check_edge_weight(edge_weight, edge_index)
        if batch is not None and (batch.shape != (num_nodes,) or batch.dtype != torch.int64):
            raise InvalidGraphError(
                f"batch must be int64 of shape [{num_nodes}], not {batch.dtype} {tuple(batch.shape)}"
            )
        named = 1 if batch is None else _named_graphs(batch, num_graphs)
        self.edge_index = edge_index
        self.num_nodes = num_nodes
        self.edge_weight = edge_weight
        self.batch = batch
        self.num_graphs = named if num_graphs is None else num_graphs
        self._adjacencies: dict[Propagation, Adjacency] = {}
        self._factors: dict[Propagation, Tensor] = {}
        self._drawn: dict[Propagation, Adjacency] = {}
        self._draws: dict[tuple[EdgeTransform, ...], Tensor] = {}

    def adjacency(self, propagation: Propagation, layer: str = "") -> Adjacency:
        """Return the adjacency of a propagation, which is computed once; edges to drop are drawn once too.

        Args:
            propagation: the propagation.
            layer: name of the layer that asks, for the message.

        Raises:
            InvalidGraphError: for a normalization by a negative degree.
        """
        held = self._drawn if propagation.is_random else self._adjacencies
        if propagation not in held:
            made = self._pooling(propagation) if propagation.pooled else self._neighbours(propagation, layer)
            held[propagation] = made
        return held[propagation]

    def inverse_roots(self, propagation: Propagation, layer: str = "") -> Tensor:
        """Return the inverse roots of the nodes' degrees in a symmetric normalization, float64 ``[nodes]``; 0 for 0.

        Args:
            propagation: a propagation that does not drop edges at random.
            layer: as in :meth:`adjacency`.

        Raises:
            InvalidGraphError: as in :meth:`adjacency`.
        """
        self.adjacency(propagation, layer)
        return self._factors[propagation]

    def redrawn(self) -> Self:
        """Return the same graph, whose propagations draw anew which edges they drop."""
        graph = copy.copy(self)
        graph._drawn, graph._draws = {}, {}
        return graph

    def to(self, device: torch.device | str) -> Self:
        """Return the graph on another device."""
        weight, batch = self.edge_weight, self.batch
        return type(self)(
            self.edge_index.to(device),
            self.num_nodes,
            edge_weight=None if weight is None else weight.to(device),
            batch=None if batch is None else batch.to(device),
            num_graphs=self.num_graphs,
        )

    def _neighbours(self, propagation: Propagation, layer: str) -> Adjacency:
        index, weight = self._edges(propagation)
        edges = sort_edges(index, self.num_nodes, weight, propagation.self_loops, propagation.loop_weight)
        factor = self._degree_factor(propagation, edges, layer)
        if factor is not None:
            self._factors[propagation] = factor
        return normalized(edges, propagation, factor)

    def _degree_factor(self, propagation: Propagation, edges: SortedEdges, layer: str) -> Tensor | None:
        return degree_factor(edges, propagation, layer)

    def _edges(self, propagation: Propagation) -> Edges:
        """Return the edges of a propagation."""
        edges = Edges(self.edge_index, self.edge_weight if propagation.weighted else None)
        if not propagation.transforms:
            return edges
        edges = Edges(edges.edge_index.long(), None if edges.weight is None else edges.weight.double())
        for count, transform in enumerate(propagation.transforms, start=1):
            if not isinstance(transform, RandomTransform):
                edges = transform(edges, self.num_nodes)
                continue
            before = propagation.transforms[:count]
            if before not in self._draws:
                self._draws[before] = transform.draw(edges, self.num_nodes)
            edges = transform.kept(edges, self._draws[before])
        return edges

    def _pooling(self, propagation: Propagation) -> Adjacency:
        device = self.edge_index.device
        batch = torch.zeros(self.num_nodes, dtype=torch.int64, device=device) if self.batch is None else self.batch
        csr = sort_nodes(batch, self.num_graphs)
        if csr is None:
            _named_graphs(batch, self.num_graphs)
            raise InvalidGraphError(CHANGED)
        return Adjacency(csr, batch.new_empty(0), row_scale=row_scale(csr, propagation.normalization))


def _check_edge_weight(edge_weight: Tensor, edge_index: Tensor) -> None:
    if edge_weight.shape != edge_index.shape[1:] or not edge_weight.is_floating_point():
        raise InvalidGraphError(
            f"edge_weight must be floating point of shape [{edge_index.shape[1]}], one for each edge, "
            f"not {edge_weight.dtype} of shape {list(edge_weight.shape)}"
        )
    reason = "edge_weight holds NaN or infinity: replace them"
    require(edge_weight.isfinite().all(), reason, lambda: InvalidGraphError(reason))


def _named_graphs(batch: Tensor, num_graphs: int | None) -> int:
    """Return the number of graphs in a batch: one more than the greatest number of a graph."""
    if not batch.numel():
        return 0
    named: int = batch.max().item() + 1  # type: ignore[assignment]  # of integers
    known = named if num_graphs is None else num_graphs

    def error() -> InvalidGraphError:
        return InvalidGraphError(
            f"batch names graphs {int(batch.min())}...{named - 1} where there are {max(known, 0)}: "
            f"number the graphs 0, 1, 2, ..."
        )

    below = "batch names a graph below 0: number the graphs 0, 1, 2, ..."
    require((batch >= 0).all(), below, error)
    require(named > 0, below, error)  # torch does not infer this from the condition above
    require(named <= known, "batch names graphs that do not exist", error)
    return named
