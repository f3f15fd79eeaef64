"""What a network is given of a problem: features, structure and the rows that may be learned from."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from mixq_rl.graph import Graph

__all__ = ["GraphInputs"]


@dataclass(frozen=True, eq=False)
class GraphInputs:
    """A part of a problem, or all of it. Its rows are what is classified: nodes or graphs.

    Attributes:
        x: float32 ``[nodes, features]``.
        graph: the structure; for graph classification several graphs side by side.
        y: classes, int64 ``[rows]``.
        labelled: int64: the rows whose labels may be used.
        index: int64 ``[rows]``: the rows' numbers in the task.
    """

    x: Tensor
    graph: Graph
    y: Tensor
    labelled: Tensor
    index: Tensor

    def to(self, device: torch.device | str) -> Self:
        """Return the part on another device."""
        x, y, labelled, index = (tensor.to(device) for tensor in (self.x, self.y, self.labelled, self.index))
        return type(self)(x, self.graph.to(device), y, labelled, index)
