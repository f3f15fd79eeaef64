"""Graphs to be answered for, with or without labels."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from mixq_rl.datasets.catalogue import load_task
from mixq_rl.datasets.file import SUFFIXES, read_arrays
from mixq_rl.datasets.task import Split

__all__ = ["Questions", "load_questions"]


@dataclass(frozen=True, eq=False)
class Questions:
    """A graph, or graphs one after another, and what is known of the answers.

    Attributes:
        name: ``"Cora"``.
        x: float32 ``[nodes, features]``.
        edge_index: int64 ``[2, edges]``.
        edge_weight: float32 ``[edges]``, or None.
        batch: int64 ``[nodes]``, or None: nodes are classified.
        y: classes, int64 ``[nodes]`` or ``[graphs]``; None: not known.
        masks: bool, of the splits in which they count; empty where none are known.
    """

    name: str
    x: Tensor
    edge_index: Tensor
    edge_weight: Tensor | None
    batch: Tensor | None
    y: Tensor | None
    masks: Mapping[Split, Tensor]

    @property
    def noun(self) -> str:
        """What is answered for: ``"node"`` or ``"graph"``."""
        return "node" if self.batch is None else "graph"

    def to(self, device: torch.device) -> Self:
        """Return the graph on another device; what is known of the answers stays where it is."""
        weight, batch = self.edge_weight, self.batch
        return replace(
            self,
            x=self.x.to(device),
            edge_index=self.edge_index.to(device),
            edge_weight=None if weight is None else weight.to(device),
            batch=None if batch is None else batch.to(device),
        )

    def accuracies(self, answers: Tensor) -> dict[Split, float]:
        """Return the share of each split that is answered rightly, in [0, 1]; empty where no answers are known.

        Args:
            answers: classes, int64, of all nodes or graphs.
        """
        if self.y is None:
            return {}
        right = answers == self.y
        return {split: float(right[mask].double().mean()) for split, mask in self.masks.items()}


def load_questions(dataset: str, root: str | PathLike[str] = "data", *, fold: int | None = None) -> Questions:
    """Load a dataset, or a file that need not say what the answers are.

    Args:
        dataset, root, fold: as of :func:`~mixq_rl.load_task`. A file may lack ``y``.

    Raises:
        InputError: as of :func:`~mixq_rl.load_task`.
    """
    path = Path(dataset)
    if path.suffix.lower() in SUFFIXES:
        entries = read_arrays(path, ("x", "edge_index"))
        if "y" not in entries:
            batch, weight = entries.get("batch"), entries.get("edge_weight")
            return Questions(
                path.name,
                entries["x"].float(),
                entries["edge_index"].long(),
                None if weight is None else weight.float(),
                None if batch is None else batch.long(),
                None,
                {},
            )
    task = load_task(dataset, root, fold=fold)
    known = {split: mask & (task.y >= 0) for split, mask in task.masks.items()}
    masks: dict[Split, Tensor] = {split: mask for split, mask in known.items() if bool(torch.any(mask))}
    return Questions(task.name, task.x, task.edge_index, task.edge_weight, task.batch, task.y, masks)
