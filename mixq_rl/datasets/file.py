"""Tasks from files of the user: one graph or several, as arrays."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from mixq_rl.datasets.array_files import ArrayArchive
from mixq_rl.datasets.inert import Saved
from mixq_rl.datasets.label_matrix import is_label_matrix
from mixq_rl.datasets.memory_limit import ExcessError
from mixq_rl.datasets.messages import in_one_line, listed
from mixq_rl.datasets.splits import check_fold, fold_split, fraction_split
from mixq_rl.datasets.task import GraphTask, Split
from mixq_rl.datasets.tensor_files import TensorFile, is_torch_object
from mixq_rl.errors import ArtifactError, DataNotFoundError, InvalidGraphError
from mixq_rl.printable import printable
from mixq_rl.storage.reading import open_regular

__all__ = ["SUFFIXES", "class_numbers", "drawn_masks", "given_masks", "integers", "load_file", "read_arrays"]

SUFFIXES = (".npz", ".pt")

_MASKS: dict[str, Split] = {"train_mask": "train", "val_mask": "validation", "test_mask": "test"}
_SPLIT_SEED = 0
_FEWEST_NODES = 5
_FOLDS = 10
_OTHER_OBJECTS = (
    "it holds other objects than a dictionary of tensors, which is what torch.save(data.to_dict(), ...) writes"
)
_READ = ("x", "edge_index", "edge_weight", "y", "batch", *_MASKS)
_ITEMSIZES = {"x": 4, "edge_weight": 4, "edge_index": 8, "y": 8, "batch": 8}  # after conversion


def load_file(path: Path, fold: int | None = None) -> GraphTask:
    """Return the task of one or several graphs in ``.npz``, or in ``.pt`` with a dictionary of tensors.

    Required entries are ``x`` ``[nodes, features]``, ``edge_index`` ``[2, edges]`` and ``y`` ``[nodes]``. Optional
    entries are ``edge_weight`` ``[edges]`` and, all three or none, ``train_mask``, ``val_mask``, ``test_mask``
    ``[nodes]``. Without masks the nodes are split 60/20/20 by a fixed seed.

    If there is an entry ``batch`` ``[nodes]``, the graph of each node in ascending order, graphs are classified: ``y``
    and the masks have an entry for each graph. Without masks the graphs are split into ten stratified folds. Other
    entries are not read.

    In a multi-label task ``y`` has a row for each node (graph) and a column for each label: 1, 0, or NaN where unknown.

    Args:
        path: path of the file.
        fold: number of the fold: 0...9 for graphs without masks, 0 otherwise; None: 0.

    Raises:
        DataNotFoundError: if the file does not exist.
        InvalidGraphError: if the file cannot be read, lacks an entry, or has inconsistent entries.
        InputError: for a fold that the file does not have.
    """
    entries = read_arrays(path, ("x", "edge_index", "y"))
    x, y = entries["x"], class_numbers(path, entries["y"])
    edge_weight, batch = entries.get("edge_weight"), entries.get("batch")
    return GraphTask(
        printable(path.name),
        x.float(),
        integers(entries["edge_index"]),
        y,
        _masks(path, entries, fold),
        edge_weight=None if edge_weight is None else edge_weight.float(),
        batch=None if batch is None else integers(batch),
    )


def read_arrays(path: Path, required: Sequence[str]) -> dict[str, Tensor]:
    """Return the known entries of a file by name, as tensors.

    Nothing is unpickled: no file can make this function call anything.

    Args:
        path: path of the file, which may be a symbolic link.
        required: names of entries that the file must have.

    Raises:
        DataNotFoundError: if the file does not exist, or is no regular file.
        InvalidGraphError: if the file cannot be read, would take too much memory, or lacks an entry.
    """
    if not path.is_file():
        raise DataNotFoundError(f"graph file {str(path)!r} does not exist" + (" as a file" if path.exists() else ""))
    entries, names = _read(path)
    missing = [name for name in required if name not in entries]
    if missing:
        raise InvalidGraphError(f"{path.name}: {', '.join(missing)} missing; it holds {listed(names)}")
    return entries


def integers(entry: Tensor) -> Tensor:
    """Return integers as int64. Floating-point tensors are not converted, so that later checks refuse their dtype."""
    return entry if entry.is_floating_point() else entry.long()


def class_numbers(path: Path, y: Tensor) -> Tensor:
    """Return classes as int64, or a matrix of several labels for each row as float32.

    Raises:
        InvalidGraphError: if the classes are not integers.
    """
    if is_label_matrix(y):
        return y.float()
    if y.is_floating_point():
        raise InvalidGraphError(f"{path.name}: y must hold classes 0, 1, 2, ..., as integers, not {y.dtype}")
    return y.long()


def given_masks(path: Path, entries: Mapping[str, Tensor]) -> dict[Split, Tensor]:
    """Return the masks in a file, as booleans.

    Raises:
        InvalidGraphError: for a mask with values other than false and true.
    """
    given = {name: entries[name] for name in _MASKS if name in entries}
    for name, mask in given.items():
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise InvalidGraphError(f"{path.name}: {name} holds other values than false and true")
    return {_MASKS[name]: mask.bool() for name, mask in given.items()}


def _masks(path: Path, entries: dict[str, Tensor], fold: int | None) -> dict[Split, Tensor]:
    given = [name for name in _MASKS if name in entries]
    if not given:
        return drawn_masks(path, entries, fold)
    if len(given) < len(_MASKS):
        raise InvalidGraphError(f"{path.name}: only {', '.join(given)} given; give all of {', '.join(_MASKS)}, or none")
    masks = given_masks(path, entries)
    check_fold(path.name, fold)
    return masks


def drawn_masks(path: Path, entries: Mapping[str, Tensor], fold: int | None) -> dict[Split, Tensor]:
    """Return the splits of a file without masks.

    Raises:
        InvalidGraphError: if there are too few nodes or graphs.
        InputError: for a fold that the file does not have.
    """
    noun, rows, fewest = ("graph", "y", _FOLDS) if "batch" in entries else ("node", "x", _FEWEST_NODES)
    count = len(entries[rows]) if entries[rows].dim() else 0
    if count < fewest:
        raise InvalidGraphError(f"{path.name}: {count} {noun}s are too few to be split: give {', '.join(_MASKS)}")
    if noun == "node":
        check_fold(path.name, fold)
        return fraction_split(count, train=0.6, validation=0.2, seed=_SPLIT_SEED)
    y = entries["y"]
    labels = y if is_label_matrix(y) else y.reshape(-1).long()
    return fold_split(labels, folds=_FOLDS, fold=check_fold(path.name, fold, _FOLDS))


def _read(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Return the known entries of a file, and the names of all its entries."""
    read = _read_npz if path.suffix.lower() == ".npz" else _read_pt
    try:
        with open_regular(path, follow=True) as file:
            return read(path.name, file)
    except InvalidGraphError:
        raise
    except ArtifactError as error:
        raise DataNotFoundError(f"graph file {error}") from error
    except ExcessError as error:
        raise InvalidGraphError(f"{path.name} holds {error}") from error
    except Exception as error:  # parsers raise exceptions of any kind for damaged files
        reason = in_one_line((str(error).splitlines() or [""])[0]) or type(error).__name__
        raise InvalidGraphError(f"{path.name} cannot be read as a graph of plain arrays: {reason}") from error


def _read_npz(name: str, file: BinaryIO) -> tuple[dict[str, Tensor], list[str]]:
    size = os.fstat(file.fileno()).st_size
    archive = ArrayArchive(file, size, _READ)
    archive.check_memory(_ITEMSIZES, size)
    for entry, header in archive.headers.items():
        if header.dtype.kind not in "biuf":
            raise _not_plain(name, entry)
    arrays = {entry: archive.read(entry) for entry in archive.headers}
    return {entry: torch.from_numpy(array) for entry, array in arrays.items()}, archive.names


def _read_pt(name: str, file: BinaryIO) -> tuple[dict[str, Tensor], list[str]]:
    saved = TensorFile(file)
    if isinstance(saved.value, Saved):
        raise ValueError(_OTHER_OBJECTS)
    if not isinstance(saved.value, dict):
        raise InvalidGraphError(f"{name} must hold a dictionary of tensors, not a {type(saved.value).__name__}")
    # The dictionary of a PyG object has other entries as well, such as a name, and None for missing ones.
    known = {entry: saved.value[entry] for entry in _READ if saved.value.get(entry) is not None}
    saved.check_memory((inert, _ITEMSIZES.get(entry, 0)) for entry, inert in known.items())
    entries: dict[str, Tensor] = {}
    for entry, inert in known.items():
        tensor = saved.tensor(inert)
        if tensor is None:
            if isinstance(inert, Saved) and not is_torch_object(inert):
                raise ValueError(_OTHER_OBJECTS)
            raise _not_plain(name, entry)
        entries[entry] = tensor
    return entries, [str(key) for key in saved.value]


def _not_plain(name: str, entry: str) -> InvalidGraphError:
    return InvalidGraphError(f"{name}: {entry} must be a dense, real tensor")
