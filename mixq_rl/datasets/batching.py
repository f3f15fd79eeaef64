"""Batches of graphs as one disconnected graph."""

import torch
from torch import Tensor

from mixq_rl.datasets.inputs import GraphInputs
from mixq_rl.graph import Graph

__all__ = ["GraphSelection", "ranges"]


class GraphSelection:
    """Selection of graphs of a graph classification task, without a loop over the graphs.

    Args:
        x: node features, float32 ``[nodes, features]``.
        edge_index: edges within graphs, int64 ``[2, edges]``.
        edge_weight: edge weights, float32 ``[edges]``, or None.
        batch: graph of each node, ascending, int64 ``[nodes]``.
        y: labels, ``[graphs]`` or ``[graphs, labels]``.
    """

    def __init__(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None, batch: Tensor, y: Tensor) -> None:
        graph_of_edge = batch[edge_index[0]]
        if not bool((graph_of_edge[1:] >= graph_of_edge[:-1]).all()):
            order = torch.argsort(graph_of_edge, stable=True)
            edge_index = edge_index[:, order]
            edge_weight = None if edge_weight is None else edge_weight[order]
        self._x, self._y = x, y
        self._edge_index, self._edge_weight = edge_index, edge_weight
        self._num_nodes = torch.bincount(batch, minlength=len(y))
        self._num_edges = torch.bincount(graph_of_edge, minlength=len(y))
        self._first_node = _starts(self._num_nodes)
        self._first_edge = _starts(self._num_edges)

    def __call__(self, graphs: Tensor) -> GraphInputs:
        """Return the disjoint union of ``graphs``, int64 ``[selected]``, in their order, all of them labelled."""
        num_nodes, num_edges = self._num_nodes[graphs], self._num_edges[graphs]
        rows = torch.arange(graphs.numel(), device=graphs.device)
        nodes = ranges(self._first_node[graphs], num_nodes)
        edges = ranges(self._first_edge[graphs], num_edges)
        shift = _starts(num_nodes) - self._first_node[graphs]
        graph = Graph(
            self._edge_index[:, edges] + shift.repeat_interleave(num_edges),
            nodes.numel(),
            edge_weight=None if self._edge_weight is None else self._edge_weight[edges],
            batch=rows.repeat_interleave(num_nodes),
            num_graphs=graphs.numel(),
        )
        return GraphInputs(self._x[nodes], graph, self._y[graphs], rows, graphs)


def _starts(counts: Tensor) -> Tensor:
    return counts.cumsum(0) - counts


def ranges(first: Tensor, count: Tensor) -> Tensor:
    """Return first[0], first[0] + 1, ... (count[0] of them), first[1], ..."""
    return torch.arange(int(count.sum()), device=count.device) + (first - _starts(count)).repeat_interleave(count)
