"""Tasks from files of the user: one graph or several, as arrays."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mixq_rl.datasets.consistency import check_batch, check_edges, check_features
from mixq_rl.datasets.edge_entries import read_edge_index, read_edge_weight, weight_of_attributes
from mixq_rl.datasets.file_entries import SUFFIXES, Entries, read_entries
from mixq_rl.datasets.labels import Labels, read_labels
from mixq_rl.datasets.partial_splits import Masks, complete_splits, drawn_splits, read_masks
from mixq_rl.datasets.task import GraphTask, Split
from mixq_rl.errors import InvalidGraphError
from mixq_rl.printable import printable

__all__ = ["SUFFIXES", "FileGraph", "labels_of", "load_file", "read_graph"]


@dataclass(frozen=True)
class FileGraph:
    """Graph or graphs of a file, before and after their checks.

    Attributes:
        name: name of the file, safe to print.
        x: node features, float32 ``[nodes, features]``.
        edge_index: edges, int64 ``[2, edges]``.
        edge_weight: edge weights, float32 ``[edges]``, or None.
        batch: graph of each node, int64 ``[nodes]``; None: nodes are classified.
        labels: labels; None: the file has none.
        masks: masks that the file gives, of the chosen fold.
        notes: what was done to the data, a line each.
    """

    name: str
    x: Tensor
    edge_index: Tensor
    edge_weight: Tensor | None
    batch: Tensor | None
    labels: Labels | None
    masks: Masks
    notes: tuple[str, ...]

    @property
    def noun(self) -> str:
        """What is classified: ``"node"`` or ``"graph"``."""
        return "node" if self.batch is None else "graph"

    def drawn(self, fold: int | None) -> dict[Split, Tensor]:
        """Return splits of the labelled rows, for a file without masks, as :func:`drawn_splits` does."""
        assert self.labels is not None
        return drawn_splits(self.name, self.labels.y, self.labels.known, self.noun, fold)


def load_file(path: Path, fold: int | None = None) -> GraphTask:
    """Return the task of one or several graphs in ``.npz`` or ``.pt``, or of one in a ``.csr`` folder.

    Required entries are ``x`` ``[nodes, features]``, ``edge_index`` ``[2, edges]`` and ``y``, in one of the forms of
    :func:`~mixq_rl.datasets.labels.read_labels`. Optional entries are ``edge_weight`` ``[edges]`` and the masks
    ``train_mask``, ``val_mask``, ``test_mask`` ``[nodes]`` or ``[nodes, splits]``. Missing masks are drawn; without any
    the labelled nodes are split 60/20/20 by a fixed seed. ``edge_attr`` of one positive number for each edge stands for
    ``edge_weight``.

    If there is an entry ``batch`` ``[nodes]``, the graph of each node in ascending order, graphs are classified: ``y``
    and the masks have an entry for each graph. Without masks the graphs are split into ten stratified folds. Other
    entries are not read. A ``.pt`` file holds a dictionary of tensors, a ``Data`` of PyTorch Geometric, or several.

    In a multi-label task ``y`` has a row for each node (graph) and a column for each label: 1, 0, or NaN where unknown.

    Args:
        path: path of the file.
        fold: number of the fold: 0...9 for graphs without masks, the column of masks of several columns, otherwise 0;
            None: 0.

    Raises:
        DataNotFoundError: if the file does not exist.
        InvalidGraphError: if the file cannot be read, lacks an entry, or has inconsistent entries.
        InputError: for a fold that the file does not have.
    """
    graph = read_graph(path, ("x", "edge_index", "y"), fold)
    assert graph.labels is not None
    notes = list(graph.notes)
    with _named(graph.name):
        if graph.masks.splits:
            masks, done = complete_splits(graph.masks.splits, graph.labels.known, graph.noun)
            notes += done
        else:
            masks = graph.drawn(fold)
    return GraphTask(
        graph.name,
        graph.x,
        graph.edge_index,
        graph.labels.y,
        masks,
        edge_weight=graph.edge_weight,
        batch=graph.batch,
        class_names=graph.labels.class_names,
        notes=tuple(notes),
    )


def read_graph(path: Path, required: tuple[str, ...], fold: int | None = None, *, checked: bool = True) -> FileGraph:
    """Return the graph in a file, with its entries in the form of a task's.

    Args:
        path: path of the file.
        required: names of entries that the file must have.
        fold: number of the fold of the masks; None: the first.
        checked: whether features and edges are checked, and labels and masks read.

    Raises:
        DataNotFoundError, InvalidGraphError, InputError: as :func:`load_file` does.
    """
    entries = read_entries(path, required)
    name = printable(path.name)
    with _named(name):
        tensors, notes = entries.tensors, entries.notes
        x = _features(tensors["x"], notes)
        edge_index = read_edge_index(tensors["edge_index"], len(x) if x.dim() else 0, notes)
        batch = _batch(tensors, len(x) if x.dim() else 0, notes)
        graph = FileGraph(name, x, edge_index, _weight(entries, edge_index), batch, None, Masks({}), ())
        if not checked:
            return replace(graph, notes=tuple(notes))
        check_features(x)
        if batch is not None:
            check_batch(batch, len(x))
        check_edges(edge_index, len(x), graph.edge_weight, batch)
        rows = len(x) if batch is None else int(batch[-1]) + 1
        labels, masks = labels_of(name, tensors, rows, graph.noun, fold, texts=entries.texts, needed="y" in required)
    if labels is None:
        return replace(graph, notes=tuple(notes))
    return replace(graph, labels=labels, masks=masks, notes=(*notes, *labels.notes, *masks.notes))


def labels_of(
    name: str,
    tensors: Mapping[str, Tensor],
    rows: int,
    noun: str,
    fold: int | None,
    *,
    texts: Sequence[str] | None = None,
    needed: bool = False,
) -> tuple[Labels | None, Masks]:
    """Return labels and masks among the entries of a file; None: there are no labels, or only blank ones.

    Args:
        name: name of the file, for messages.
        tensors: entries of the file.
        rows: number of nodes or graphs.
        noun: ``"node"`` or ``"graph"``.
        fold: number of the fold of the masks; None: the first.
        texts: the classes in words, if ``y`` holds their numbers.
        needed: whether blank labels are refused.

    Raises:
        InvalidGraphError: for inconsistent entries.
        InputError: for a fold that the file does not have.
    """
    if "y" not in tensors or (not needed and _is_blank(tensors["y"])):
        return None, Masks({})
    masks = read_masks(name, tensors, rows, noun, fold)
    return read_labels(tensors["y"], rows, noun, marked=masks.marked, texts=texts), masks


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Begin the messages of errors about a graph inside the block with the name of its file."""
    try:
        yield
    except InvalidGraphError as error:
        text = str(error)
        raise InvalidGraphError(text if text.startswith(f"{name}: ") else f"{name}: {text}") from error


def _is_blank(y: Tensor) -> bool:
    """Return whether ``y`` holds no label at all."""
    return bool((y.isnan() | (y < 0)).all()) if y.is_floating_point() else bool((y < 0).all())


def _features(x: Tensor, notes: list[str]) -> Tensor:
    if x.dtype == torch.float64 and x.numel():
        reach = float(x.abs().max())
        if math.isfinite(reach) and reach > torch.finfo(torch.float32).max:
            raise InvalidGraphError(f"features reach {reach:.3g}, beyond float32: normalise them")
    if x.dtype in (torch.float64, torch.float16, torch.bfloat16):
        notes.append(f"x was converted from {str(x.dtype).removeprefix('torch.')} to float32")
    return x.float()


def _weight(entries: Entries, edge_index: Tensor) -> Tensor | None:
    """Return the edge weights, or edge attributes that can stand for them."""
    given, attributes = entries.tensors.get("edge_weight"), entries.tensors.get("edge_attr")
    if given is not None:
        if attributes is not None:
            entries.notes.append("edge_attr is not used, because there is edge_weight")
        return read_edge_weight(given, entries.notes)
    if attributes is None:
        return None
    return weight_of_attributes(attributes, edge_index.shape[-1], entries.notes)


def _batch(tensors: dict[str, Tensor], nodes: int, notes: list[str]) -> Tensor | None:
    """Return the graph of each node, or None where nodes are classified: without ``batch``, or with a label a node."""
    if "batch" not in tensors:
        return None
    batch = _integers(tensors["batch"])
    graphs = batch.unique().numel()
    if "y" in tensors and batch.shape == (nodes,) and graphs < nodes == len(_rows(tensors["y"])):
        notes.append(f"batch is not used: y has a label for each of {nodes} nodes, not for each of {graphs} graphs")
        return None
    return batch


def _rows(y: Tensor) -> Tensor:
    return y.reshape(1) if y.dim() == 0 else y


def _integers(entry: Tensor) -> Tensor:
    """Return integers as int64. Floating-point tensors are not converted, so that later checks refuse their dtype."""
    return entry if entry.is_floating_point() else entry.long()
