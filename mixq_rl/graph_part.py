"""Parts of a graph, in which nodes have some of their neighbours."""

from dataclasses import replace

import torch
from torch import Tensor

from mixq_rl.adjacency import Adjacency
from mixq_rl.edges import SortedEdges
from mixq_rl.graph import Graph
from mixq_rl.propagation import Propagation

__all__ = ["GraphPart"]


class GraphPart(Graph):
    r"""Part of a graph, in which nodes have some of their neighbours, drawn at random.

    The adjacency of a symmetric normalization estimates that of the whole graph:

    .. math::
        \frac{n_i}{s_i} \, d_i^{-1/2} \sum_{j \in S(i)} w_{ij} d_j^{-1/2} x_j

    Here d are the degrees in the whole graph, and the sum has :math:`s_i` of the :math:`n_i` entries of row i. The
    degree in the part would say nothing of a node whose neighbours were not drawn. Propagations that change or drop
    edges have the degrees of the part. A mean, or a sum times the inverse root of the number of its terms, is that of
    the neighbours in the part, and a sum is not scaled.

    Args:
        edge_index: sources and targets of the edges among the nodes of the part, int64 ``[2, edges]``.
        whole: the whole graph.
        nodes: the number in the whole graph of each node of the part, int64 ``[nodes]``.
        edge_weight: edge weights, floating point ``[edges]``; None: all 1.
    """

    def __init__(self, edge_index: Tensor, whole: Graph, nodes: Tensor, *, edge_weight: Tensor | None = None) -> None:
        super().__init__(edge_index, nodes.numel(), edge_weight=edge_weight)
        self._whole, self._nodes = whole, nodes

    def to(self, device: torch.device | str) -> "GraphPart":
        """Return the part, and with it the whole graph, on another device."""
        weight = None if self.edge_weight is None else self.edge_weight.to(device)
        edge_index, whole = self.edge_index.to(device), self._whole.to(device)
        return type(self)(edge_index, whole, self._nodes.to(device), edge_weight=weight)

    def _neighbours(self, propagation: Propagation, layer: str) -> Adjacency:
        part = super()._neighbours(propagation, layer)
        if part.row_scale is None or not _estimates(propagation):
            return part
        csr = self._whole.adjacency(propagation, layer).csr
        entries, all_entries = part.csr.rowptr.diff(), csr.rowptr.diff()[self._nodes]
        share = torch.where(entries > 0, all_entries.double() / entries.clamp(min=1), 1.0)
        scale = part.row_scale * share.unsqueeze(1)
        return replace(part, row_scale=scale, row_bound=float(scale.max()))

    def _degree_factor(self, propagation: Propagation, edges: SortedEdges, layer: str) -> Tensor | None:
        if not _estimates(propagation):
            return super()._degree_factor(propagation, edges, layer)
        return self._whole.inverse_roots(propagation, layer)[self._nodes]


def _estimates(propagation: Propagation) -> bool:
    return propagation.by_degree and not propagation.transforms
