"""A graph problem: data, what is to be predicted, splits and metric."""

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mixq_rl.adjacency import check_edge_index
from mixq_rl.errors import InvalidGraphError

__all__ = ["GraphTask", "Split"]

_GREATEST_FEATURE = 1e18

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class GraphTask:
    """Node classification on one graph, checked on construction.

    Attributes:
        name: ``"Cora"``.
        x: features, float32 ``[nodes, features]``, no greater than 1e18.
        edge_index: int64 ``[2, edges]``, sources and targets.
        y: classes 0, 1, 2, ..., int64 ``[nodes]``; anything negative where no mask is set.
        masks: bool ``[nodes]`` for ``"train"``, ``"validation"`` and ``"test"``; no node is in two of them.
        kind: ``"node"``.
        metric: ``"accuracy"``.

    Raises:
        InvalidGraphError: saying what contradicts what.
    """

    name: str
    x: Tensor
    edge_index: Tensor
    y: Tensor
    masks: dict[Split, Tensor]
    kind: Literal["node"] = "node"
    metric: Literal["accuracy"] = "accuracy"

    def __post_init__(self) -> None:
        if self.x.dim() != 2 or not self.x.numel():
            raise InvalidGraphError(f"{self.name}: x must be of shape [nodes, features], not {list(self.x.shape)}")
        if self.x.dtype != torch.float32:
            raise InvalidGraphError(f"{self.name}: x must be float32, not {self.x.dtype}")
        if not bool(torch.isfinite(self.x).all()):
            node = int((~torch.isfinite(self.x)).any(dim=1).nonzero()[0])
            raise InvalidGraphError(
                f"{self.name}: the features of node {node} are not finite: replace NaN and infinity"
            )
        if float(self.x.abs().max()) > _GREATEST_FEATURE:
            raise InvalidGraphError(f"{self.name}: features reach {float(self.x.abs().max()):.3g}: normalise them")
        nodes = self.x.shape[0]
        if self.y.shape != (nodes,):
            raise InvalidGraphError(
                f"{self.name}: y has shape {list(self.y.shape)}, but there are {nodes} nodes: each needs one label"
            )
        if self.y.dtype != torch.int64:
            raise InvalidGraphError(f"{self.name}: y must hold classes 0, 1, 2, ..., as int64, not {self.y.dtype}")
        try:
            check_edge_index(self.edge_index, nodes)
        except InvalidGraphError as error:
            raise InvalidGraphError(f"{self.name}: {error}") from error
        for split, mask in self.masks.items():
            if mask.dtype != torch.bool or mask.shape != (nodes,):
                raise InvalidGraphError(
                    f"{self.name}: the {split} mask must be boolean, one entry for each of {nodes} nodes"
                )
            if not bool(mask.any()):
                raise InvalidGraphError(f"{self.name}: the {split} mask is empty: mark at least one node")
        self._check_masks()

    def _check_masks(self) -> None:
        for one, other in itertools.combinations(self.masks, 2):
            shared = (self.masks[one] & self.masks[other]).nonzero()
            if shared.numel():
                raise InvalidGraphError(
                    f"{self.name}: node {int(shared[0])} is in the {one} and the {other} mask: each node may be in one"
                )
        labelled = torch.stack(list(self.masks.values())).any(dim=0)
        wrong = labelled & ((self.y < 0) | (self.y >= self.num_nodes))
        if bool(wrong.any()):
            node = int(wrong.nonzero()[0])
            raise InvalidGraphError(
                f"{self.name}: node {node} has class {int(self.y[node])}: the classes of nodes in a mask are "
                f"0, 1, 2, ..., fewer than there are nodes"
            )

    @property
    def num_nodes(self) -> int:
        return self.x.shape[0]

    @property
    def num_features(self) -> int:
        return self.x.shape[1]

    @property
    def num_classes(self) -> int:
        labelled = torch.stack(list(self.masks.values())).any(dim=0)
        return int(self.y[labelled].max()) + 1

    def accuracy(self, logits: Tensor, split: Split) -> float:
        """Return the share of nodes of a split whose greatest logit is that of their class, in [0, 1]."""
        mask = self.masks[split]
        return float((logits[mask].argmax(dim=1) == self.y[mask]).double().mean())

    def majority_accuracy(self, split: Split) -> float:
        """Return the accuracy of always answering the split's most frequent class."""
        labels = self.y[self.masks[split]]
        return float(torch.bincount(labels).max()) / labels.numel()
