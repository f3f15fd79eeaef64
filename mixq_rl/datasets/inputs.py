"""Inputs of a network: features, graph, and labelled rows."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from mixq_rl.graph import Graph

__all__ = ["GraphInputs"]


@dataclass(frozen=True, eq=False)
class GraphInputs:
    """A task, or a part of it, as a network takes it. A row is a node or a graph that is classified.

    A part of one graph may have more nodes than rows: the first nodes are the rows, and the others their neighbours.

    Attributes:
        x: node features, float32 ``[nodes, features]``.
        graph: the graph; for graph classification the disjoint union of several graphs.
        y: classes, int64 ``[rows]``, or labels 0, 1 and NaN, float32 ``[rows, labels]``.
        labelled: indices of the rows whose labels may be used, int64.
        index: numbers of the rows in the task, int64 ``[rows]``.
    """

    x: Tensor
    graph: Graph
    y: Tensor
    labelled: Tensor
    index: Tensor

    def to(self, device: torch.device | str) -> Self:
        """Return the inputs on another device."""
        x, y, labelled, index = (tensor.to(device) for tensor in (self.x, self.y, self.labelled, self.index))
        return type(self)(x, self.graph.to(device), y, labelled, index)
