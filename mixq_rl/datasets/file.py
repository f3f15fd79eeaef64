"""Tasks from files of the user: one graph or several, as arrays."""

import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from torch import Tensor

from mixq_rl.datasets.splits import check_fold, fold_split, fraction_split
from mixq_rl.datasets.task import GraphTask, Split
from mixq_rl.errors import DataNotFoundError, InvalidGraphError
from mixq_rl.printable import printable

__all__ = ["SUFFIXES", "class_numbers", "drawn_masks", "given_masks", "integers", "load_file", "read_arrays"]

SUFFIXES = (".npz", ".pt")

_MASKS: dict[str, Split] = {"train_mask": "train", "val_mask": "validation", "test_mask": "test"}
_SPLIT_SEED = 0
_FEWEST_NODES = 5
_FOLDS = 10
_READ = ("x", "edge_index", "edge_weight", "y", "batch", *_MASKS)


def load_file(path: Path, fold: int | None = None) -> GraphTask:
    """Return the task of one or several graphs in ``.npz``, or in ``.pt`` with a dictionary of tensors.

    Required entries are ``x`` ``[nodes, features]``, ``edge_index`` ``[2, edges]`` and ``y`` ``[nodes]``. Optional
    entries are ``edge_weight`` ``[edges]`` and, all three or none, ``train_mask``, ``val_mask``, ``test_mask``
    ``[nodes]``. Without masks the nodes are split 60/20/20 by a fixed seed.

    If there is an entry ``batch`` ``[nodes]``, the graph of each node in ascending order, graphs are classified: ``y``
    and the masks have an entry for each graph. Without masks the graphs are split into ten stratified folds. Other
    entries are not read.

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

    Args:
        path: path of the file.
        required: names of entries that the file must have.

    Raises:
        DataNotFoundError: if the file does not exist.
        InvalidGraphError: if the file cannot be read, or lacks an entry.
    """
    if not path.is_file():
        raise DataNotFoundError(f"graph file {str(path)!r} does not exist" + (" as a file" if path.exists() else ""))
    entries, names = _read(path)
    missing = [name for name in required if name not in entries]
    if missing:
        raise InvalidGraphError(f"{path.name}: {', '.join(missing)} missing; it holds {', '.join(names) or 'nothing'}")
    return entries


def integers(entry: Tensor) -> Tensor:
    """Return integers as int64. Floating-point tensors are not converted, so that later checks refuse their dtype."""
    return entry if entry.is_floating_point() else entry.long()


def class_numbers(path: Path, y: Tensor) -> Tensor:
    """Return classes as int64.

    Raises:
        InvalidGraphError: if the classes are not integers.
    """
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
    return fold_split(entries["y"].reshape(-1).long(), folds=_FOLDS, fold=check_fold(path.name, fold, _FOLDS))


def _read(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Return the known entries of a file, and the names of all its entries."""
    npz = path.suffix.lower() == ".npz"
    if npz and not zipfile.is_zipfile(path):
        raise InvalidGraphError(f"{path.name} cannot be read as a graph of plain arrays: it is not an .npz archive")
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the errors below say what is wrong with the file
            if npz:
                archive = np.load(file, allow_pickle=False)
                names = list(archive.files)
                loaded = {name: torch.from_numpy(archive[name]) for name in _READ if name in names}
            else:
                loaded = torch.load(file, map_location="cpu", weights_only=True)
                names = [str(name) for name in loaded] if isinstance(loaded, dict) else []
    except UnpicklingError as error:
        raise InvalidGraphError(
            f"{path.name} cannot be read as a graph of plain arrays: it holds other objects than a dictionary of "
            f"tensors, which is what torch.save(data.to_dict(), ...) writes"
        ) from error
    except Exception as error:  # parsers raise exceptions of any kind for damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidGraphError(f"{path.name} cannot be read as a graph of plain arrays: {reason}") from error
    if not isinstance(loaded, dict):
        raise InvalidGraphError(f"{path.name} must hold a dictionary of tensors, not a {type(loaded).__name__}")
    # The dictionary of a PyG object has other entries as well, such as a name, and None for missing ones.
    entries = {name: loaded[name] for name in _READ if loaded.get(name) is not None}
    for name, entry in entries.items():
        if not _is_plain(entry):
            raise InvalidGraphError(f"{path.name}: {name} must be a dense, real tensor")
    return {name: entry.detach() for name, entry in entries.items()}, names


def _is_plain(entry: object) -> bool:
    return (
        isinstance(entry, Tensor)
        and entry.layout is torch.strided
        and entry.device.type == "cpu"
        and not entry.is_complex()
        and not entry.is_quantized
    )
