"""Prediction inputs: graphs with or without labels."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from mixq_rl.datasets.catalogue import load_task
from mixq_rl.datasets.file import SUFFIXES, FileGraph, read_graph
from mixq_rl.datasets.label_matrix import has_label
from mixq_rl.datasets.messages import listed
from mixq_rl.datasets.metrics import Metric
from mixq_rl.datasets.partial_splits import complete_splits
from mixq_rl.errors import InvalidGraphError

__all__ = ["PredictionInputs", "load_prediction_inputs"]


_logger = logging.getLogger("mixq_rl.data")

_UNKNOWN = -2
_LONGEST_NUMBER = 9


@dataclass(frozen=True, eq=False)
class PredictionInputs:
    """One or several graphs whose nodes or graphs are to be classified, with their labels if these are known.

    Attributes:
        name: name of the dataset or file: ``"Cora"``.
        x: node features, float32 ``[nodes, features]``.
        edge_index: edges, int64 ``[2, edges]``.
        edge_weight: edge weights, float32 ``[edges]``, or None.
        batch: graph of each node, int64 ``[nodes]``; None: nodes are classified.
        y: classes, int64 ``[nodes]`` or ``[graphs]``, or several labels, float32 ``[nodes, labels]`` or
            ``[graphs, labels]``; None: not known.
        masks: labelled nodes or graphs of each split, bool ``[nodes]`` or ``[graphs]``; empty without classes.
        class_names: names of the classes in ``y``; None: 0, 1, 2, ...
        notes: what was done to the data of a file, a line each.
    """

    name: str
    x: Tensor
    edge_index: Tensor
    edge_weight: Tensor | None
    batch: Tensor | None
    y: Tensor | None
    masks: Mapping[str, Tensor]
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def noun(self) -> str:
        """What is classified: ``"node"`` or ``"graph"``."""
        return "node" if self.batch is None else "graph"

    def to(self, device: torch.device) -> Self:
        """Return the inputs on another device. Classes and masks stay on their device."""
        weight, batch = self.edge_weight, self.batch
        return replace(
            self,
            x=self.x.to(device),
            edge_index=self.edge_index.to(device),
            edge_weight=None if weight is None else weight.to(device),
            batch=None if batch is None else batch.to(device),
        )

    def renamed(self, class_names: Sequence[str] | None) -> Self:
        """Return the inputs with the classes of a network in place of those of the file, matched by their names.

        Classes that the network does not know get a number that it never answers, and are logged.

        Args:
            class_names: names of the network's classes in their order; None: 0, 1, 2, ...
        """
        if self.y is None or self.y.dim() > 1 or (self.class_names is None and class_names is None):
            return self
        own = self.class_names or [str(label) for label in range(int(self.y.max()) + 1)]
        if class_names is None:
            number_of = {name: int(name) for name in own if name.isdecimal() and len(name) <= _LONGEST_NUMBER}
        else:
            number_of = {name: number for number, name in enumerate(class_names)}
        if unknown := [name for name in own if name not in number_of]:
            known = "0, 1, 2, ..." if class_names is None else listed(class_names)
            _logger.warning(
                "%s: the network does not know the classes %s, whose %ss count as wrong: its classes are %s",
                *(self.name, listed(unknown), self.noun, known),
            )
        table = torch.tensor([number_of.get(name, _UNKNOWN) for name in own])
        y = torch.where(self.y >= 0, table[self.y.clamp(min=0)], self.y)
        return replace(self, y=y, class_names=None if class_names is None else tuple(class_names))

    def scores(self, logits: Tensor, metric: Metric) -> dict[str, float]:
        """Return the value of a metric on each split, in [0, 1]; empty without labels.

        Args:
            logits: of all nodes or graphs, ``[nodes, classes]`` or ``[graphs, classes]``, on the CPU.
            metric: a metric that measures such labels.

        Raises:
            InvalidGraphError: if the labels are one class where the metric takes several, or the other way round, or
                of another number than the logits.
        """
        if self.y is None:
            return {}
        if not metric.fits(self.y.dim() == 2) or (self.y.dim() == 2 and self.y.shape != logits.shape):
            raise InvalidGraphError(
                f"{self.name} has labels of shape {list(self.y.shape)}, and the network has logits of shape "
                f"{list(logits.shape)}: leave y out to predict without a measure"
            )
        return {split: metric.score(logits[mask], self.y[mask]) for split, mask in self.masks.items()}


def load_prediction_inputs(
    dataset: str, root: str | PathLike[str] = "data", *, fold: int | None = None
) -> PredictionInputs:
    """Return the prediction inputs of a dataset or a file, which may lack labels.

    Args:
        dataset, root, fold: as in :func:`~mixq_rl.load_task`. A file may lack ``y`` and masks, and have -1 as the class
            of some nodes (graphs). Without masks the splits are those of :func:`~mixq_rl.load_task`, or one split
            ``"all"`` if it cannot be split.

    Raises:
        InputError: as in :func:`~mixq_rl.load_task`.
    """
    path = Path(dataset)
    if path.suffix.lower() in SUFFIXES:
        return _from_file(path, fold)
    task = load_task(dataset, root, fold=fold)
    masks = _answered(task.masks, has_label(task.y))
    return PredictionInputs(task.name, task.x, task.edge_index, task.edge_weight, task.batch, task.y, masks)


def _from_file(path: Path, fold: int | None) -> PredictionInputs:
    graph = read_graph(path, ("x", "edge_index"), fold)
    for note in graph.notes:
        _logger.info("%s: %s", graph.name, note)
    inputs = PredictionInputs(
        graph.name, graph.x, graph.edge_index, graph.edge_weight, graph.batch, None, {}, notes=graph.notes
    )
    if graph.labels is None:
        return inputs
    y = graph.labels.y
    masks = _answered(_splits(graph, fold), graph.labels.known)
    return replace(inputs, y=y, masks=masks, class_names=graph.labels.class_names)


def _splits(graph: FileGraph, fold: int | None) -> Mapping[Any, Tensor]:
    assert graph.labels is not None
    known = graph.labels.known
    given = graph.masks.splits
    if given and "train" not in given:
        return given
    try:
        return complete_splits(given, known, graph.noun)[0] if given else graph.drawn(fold)
    except InvalidGraphError:  # too few to be split, which predictions do not need
        pass
    return given or {"all": torch.ones_like(known)}


def _answered(splits: Mapping[Any, Tensor], has_class: Tensor) -> dict[str, Tensor]:
    """Return the masks restricted to rows with a class, without empty masks."""
    known = {str(split): mask & has_class for split, mask in splits.items()}
    return {split: mask for split, mask in known.items() if bool(torch.any(mask))}
