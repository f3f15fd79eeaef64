"""Prediction inputs: graphs with or without labels."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from mixq_rl.datasets.catalogue import load_task
from mixq_rl.datasets.consistency import check_batch, check_edges, check_features, check_labels
from mixq_rl.datasets.file import SUFFIXES, class_numbers, drawn_masks, given_masks, integers, read_arrays
from mixq_rl.datasets.label_matrix import check_label_matrix, has_label
from mixq_rl.datasets.metrics import Metric
from mixq_rl.errors import InvalidGraphError
from mixq_rl.printable import printable

__all__ = ["PredictionInputs", "load_prediction_inputs"]


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
    """

    name: str
    x: Tensor
    edge_index: Tensor
    edge_weight: Tensor | None
    batch: Tensor | None
    y: Tensor | None
    masks: Mapping[str, Tensor]

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
    masks = _answered(task.masks, task.y)
    return PredictionInputs(task.name, task.x, task.edge_index, task.edge_weight, task.batch, task.y, masks)


def _from_file(path: Path, fold: int | None) -> PredictionInputs:
    entries = read_arrays(path, ("x", "edge_index"))
    weight, batch = entries.get("edge_weight"), entries.get("batch")
    inputs = PredictionInputs(
        printable(path.name),
        entries["x"].float(),
        integers(entries["edge_index"]),
        None if weight is None else weight.float(),
        None if batch is None else integers(batch),
        None,
        {},
    )
    try:
        check_features(inputs.x)
        if inputs.batch is not None:
            check_batch(inputs.batch, len(inputs.x))
        check_edges(inputs.edge_index, len(inputs.x), inputs.edge_weight, inputs.batch)
        if "y" not in entries:
            return inputs
        y = class_numbers(path, entries["y"])
        rows = len(inputs.x) if inputs.batch is None else int(inputs.batch[-1]) + 1
        (check_label_matrix if y.dim() == 2 and y.is_floating_point() else check_labels)(y, rows, inputs.noun)
    except InvalidGraphError as error:
        raise InvalidGraphError(f"{path.name}: {str(error).removeprefix(f'{path.name}: ')}") from error
    return replace(inputs, y=y, masks=_answered(_splits(path, entries, y, fold), y))


def _splits(path: Path, entries: Mapping[str, Tensor], y: Tensor, fold: int | None) -> Mapping[Any, Tensor]:
    given = given_masks(path, entries)
    for split, mask in given.items():
        if mask.shape != y.shape[:1]:
            raise InvalidGraphError(f"{path.name}: the {split} mask must have an entry for each of {len(y)} rows of y")
    if given:
        return given
    try:
        if y.dim() == 2 or bool((y >= 0).all()):
            return drawn_masks(path, entries, fold)
    except InvalidGraphError:  # too few to be split, which predictions do not need
        pass
    return {"all": torch.ones(len(y), dtype=torch.bool)}


def _answered(splits: Mapping[Any, Tensor], y: Tensor) -> dict[str, Tensor]:
    """Return the masks restricted to rows with a label, without empty masks."""
    known = {str(split): mask & has_label(y) for split, mask in splits.items()}
    return {split: mask for split, mask in known.items() if bool(torch.any(mask))}
