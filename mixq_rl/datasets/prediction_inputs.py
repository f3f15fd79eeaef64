"""Prediction inputs: graphs with or without labels."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from mixq_rl.datasets.catalogue import load_task
from mixq_rl.datasets.file import SUFFIXES, labels_of, read_graph
from mixq_rl.datasets.graph_folder import GraphFolder
from mixq_rl.datasets.label_matrix import has_label
from mixq_rl.datasets.labels import Labels
from mixq_rl.datasets.messages import listed
from mixq_rl.datasets.metrics import Metric
from mixq_rl.datasets.partial_splits import Masks, complete_splits, drawn_splits
from mixq_rl.errors import InvalidGraphError
from mixq_rl.row_blocks import EdgeRows, Rows

__all__ = ["KnownLabels", "PredictionInputs", "StoredInputs", "load_prediction_inputs", "open_stored_inputs"]


_logger = logging.getLogger("mixq_rl.data")

_UNKNOWN = -2
_LONGEST_NUMBER = 9


@dataclass(frozen=True, eq=False, kw_only=True)
class KnownLabels:
    """Labels of the nodes or graphs that are to be classified, if they are known.

    Attributes:
        name: name of the dataset or file: ``"Cora"``.
        y: classes, int64 ``[nodes]`` or ``[graphs]``, or several labels, float32 ``[nodes, labels]`` or
            ``[graphs, labels]``; None: not known.
        masks: labelled nodes or graphs of each split, bool ``[nodes]`` or ``[graphs]``; empty without classes.
        class_names: names of the classes in ``y``; None: 0, 1, 2, ...
        notes: what was done to the data of a file, a line each.
    """

    name: str
    y: Tensor | None = None
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def noun(self) -> str:
        """What is classified: ``"node"`` or ``"graph"``."""
        return "node"

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

    @property
    def measured(self) -> Tensor | None:
        """Nodes or graphs in any split, bool ``[nodes]`` or ``[graphs]``; None without labels."""
        return torch.stack(list(self.masks.values())).any(dim=0) if self.masks else None

    def only(self, rows: Tensor) -> "KnownLabels":
        """Return the labels of some nodes or graphs, bool ``[nodes]`` or ``[graphs]``."""
        masks = {split: mask[rows] for split, mask in self.masks.items()}
        return KnownLabels(name=self.name, y=None if self.y is None else self.y[rows], masks=masks)

    def check(self, metric: Metric, columns: int | None) -> None:
        """Check that a metric can measure the labels, if they are known.

        Args:
            metric: the metric.
            columns: number of columns of the network's logits; None: not known.

        Raises:
            InvalidGraphError: if the labels are one class where the metric takes several, or the other way round, or
                of another number than the logits.
        """
        if self.y is None:
            return
        is_matrix = self.y.dim() == 2
        if not metric.fits(is_matrix) or (is_matrix and columns not in (None, self.y.shape[1])):
            raise InvalidGraphError(
                f"{self.name} has labels of shape {list(self.y.shape)}, and the network has logits of {columns} "
                f"columns, measured by {metric.title}: leave y out to predict without a measure"
            )

    def scores(self, logits: Tensor, metric: Metric) -> dict[str, float]:
        """Return the value of a metric on each split, in [0, 1]; empty without labels.

        Args:
            logits: of all nodes or graphs, ``[nodes, classes]`` or ``[graphs, classes]``, on the CPU.
            metric: a metric that measures such labels.

        Raises:
            InvalidGraphError: as :meth:`check` does.
        """
        if self.y is None:
            return {}
        self.check(metric, logits.shape[1])
        return {split: metric.score(logits[mask], self.y[mask]) for split, mask in self.masks.items()}


@dataclass(frozen=True, eq=False, kw_only=True)
class PredictionInputs(KnownLabels):
    """One or several graphs whose nodes or graphs are to be classified, with their labels if these are known.

    Attributes:
        x: node features, float32 ``[nodes, features]``.
        edge_index: edges, int64 ``[2, edges]``.
        edge_weight: edge weights, float32 ``[edges]``, or None.
        batch: graph of each node, int64 ``[nodes]``; None: nodes are classified.
    """

    x: Tensor
    edge_index: Tensor
    edge_weight: Tensor | None
    batch: Tensor | None

    @property
    def noun(self) -> str:
        """What is classified: ``"node"`` or ``"graph"``."""
        return "node" if self.batch is None else "graph"

    @property
    def weighted(self) -> bool:
        """Whether the edges have weights."""
        return self.edge_weight is not None

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


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredInputs(KnownLabels):
    """A graph in a folder, whose nodes are to be classified block by block, with their labels if these are known.

    Attributes:
        x: node features, floating point ``[nodes, features]``, which are read when they are needed.
        edges: edges, which are read when they are needed.
    """

    x: Rows
    edges: EdgeRows

    @property
    def weighted(self) -> bool:
        """Whether the edges have weights."""
        return self.edges.weighted


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
    return PredictionInputs(
        name=task.name,
        x=task.x,
        edge_index=task.edge_index,
        edge_weight=task.edge_weight,
        batch=task.batch,
        y=task.y,
        masks=_answered(task.masks, has_label(task.y)),
    )


def open_stored_inputs(folder: str | PathLike[str], *, fold: int | None = None) -> StoredInputs:
    """Return the prediction inputs in a ``.csr`` folder, without reading features and edges.

    Args:
        folder: path of the folder.
        fold: as in :func:`load_prediction_inputs`.

    Raises:
        DataNotFoundError, InvalidGraphError: as in :meth:`~mixq_rl.datasets.graph_folder.GraphFolder.open`.
        InputError: as in :func:`~mixq_rl.load_task`.
    """
    graph = GraphFolder.open(folder)
    labels, masks = labels_of(graph.name, graph.tensors, graph.edges.num_nodes, "node", fold)
    notes = () if labels is None else (*labels.notes, *masks.notes)
    _log(graph.name, notes)
    inputs = StoredInputs(name=graph.name, x=graph.x, edges=graph.edges, notes=notes)
    return inputs if labels is None else replace(inputs, **_known(graph.name, labels, masks, "node", fold))


def _from_file(path: Path, fold: int | None) -> PredictionInputs:
    graph = read_graph(path, ("x", "edge_index"), fold)
    _log(graph.name, graph.notes)
    inputs = PredictionInputs(
        name=graph.name,
        x=graph.x,
        edge_index=graph.edge_index,
        edge_weight=graph.edge_weight,
        batch=graph.batch,
        notes=graph.notes,
    )
    if graph.labels is None:
        return inputs
    return replace(inputs, **_known(graph.name, graph.labels, graph.masks, graph.noun, fold))


def _log(name: str, notes: Sequence[str]) -> None:
    for note in notes:
        _logger.info("%s: %s", name, note)


def _known(name: str, labels: Labels, masks: Masks, noun: str, fold: int | None) -> dict[str, Any]:
    """Return labels and splits as attributes of :class:`KnownLabels`."""
    splits = _answered(_splits(name, labels, masks, noun, fold), labels.known)
    return {"y": labels.y, "masks": splits, "class_names": labels.class_names}


def _splits(name: str, labels: Labels, masks: Masks, noun: str, fold: int | None) -> Mapping[Any, Tensor]:
    given, known = masks.splits, labels.known
    if given and "train" not in given:
        return given
    try:
        return complete_splits(given, known, noun)[0] if given else drawn_splits(name, labels.y, known, noun, fold)
    except InvalidGraphError:  # too few to be split, which predictions do not need
        pass
    return given or {"all": torch.ones_like(known)}


def _answered(splits: Mapping[Any, Tensor], has_class: Tensor) -> dict[str, Tensor]:
    """Return the masks restricted to rows with a class, without empty masks."""
    known = {str(split): mask & has_class for split, mask in splits.items()}
    return {split: mask for split, mask in known.items() if bool(torch.any(mask))}
