"""The user's own graph, or graphs, from a file of arrays."""

import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from torch import Tensor

from mixq_rl.datasets.splits import check_fold, fold_split, fraction_split
from mixq_rl.datasets.task import GraphTask, Split
from mixq_rl.errors import DataNotFoundError, InvalidGraphError

__all__ = ["SUFFIXES", "load_file", "read_arrays"]

SUFFIXES = (".npz", ".pt")

_MASKS: dict[str, Split] = {"train_mask": "train", "val_mask": "validation", "test_mask": "test"}
_SPLIT_SEED = 0
_FEWEST_NODES = 5
_FOLDS = 10


def load_file(path: Path, fold: int | None = None) -> GraphTask:
    """Load a graph, or many, from ``.npz``, or from ``.pt`` holding a dictionary of tensors and nothing else.

    Entries: ``x`` ``[nodes, features]``, ``edge_index`` ``[2, edges]``, ``y`` ``[nodes]``, optionally ``edge_weight``
    ``[edges]``, and, all three or none, ``train_mask``, ``val_mask``, ``test_mask`` ``[nodes]``. Without masks the
    nodes are split 60/20/20 by a fixed seed.

    With ``batch`` ``[nodes]``, the graph of each node, ascending, graphs are classified: ``y`` and the masks then have
    an entry for each graph. Without masks the graphs are split into ten stratified folds.

    Args:
        path: of the file.
        fold: 0...9 for graphs without masks, 0 otherwise; None: 0.

    Raises:
        DataNotFoundError: if there is no such file.
        InvalidGraphError: if it cannot be read, lacks an entry, or contradicts itself.
        InputError: for another fold.
    """
    entries = read_arrays(path, ("x", "edge_index", "y"))
    x, y = entries["x"], entries["y"]
    if y.is_floating_point():
        raise InvalidGraphError(f"{path.name}: y must hold classes 0, 1, 2, ..., as integers, not {y.dtype}")
    edge_weight, batch = entries.get("edge_weight"), entries.get("batch")
    return GraphTask(
        path.name,
        x.float(),
        _integers(entries["edge_index"]),
        y.long(),
        _masks(path, entries, fold),
        edge_weight=None if edge_weight is None else edge_weight.float(),
        batch=None if batch is None else _integers(batch),
    )


def read_arrays(path: Path, required: Sequence[str]) -> dict[str, Tensor]:
    """Return the arrays in a file by name.

    Args:
        path: of the file.
        required: names that must be among them.

    Raises:
        DataNotFoundError: if there is no such file.
        InvalidGraphError: if it cannot be read, or lacks an entry.
    """
    if not path.is_file():
        raise DataNotFoundError(f"graph file {str(path)!r} does not exist" + (" as a file" if path.exists() else ""))
    entries = _read(path)
    missing = [name for name in required if name not in entries]
    if missing:
        raise InvalidGraphError(
            f"{path.name}: {', '.join(missing)} missing; it holds {', '.join(entries) or 'nothing'}"
        )
    return entries


def _integers(entry: Tensor) -> Tensor:
    return entry if entry.is_floating_point() else entry.long()


def _masks(path: Path, entries: dict[str, Tensor], fold: int | None) -> dict[Split, Tensor]:
    given = [name for name in _MASKS if name in entries]
    if not given:
        return _drawn_masks(path, entries, fold)
    if len(given) < len(_MASKS):
        raise InvalidGraphError(f"{path.name}: only {', '.join(given)} given; give all of {', '.join(_MASKS)}, or none")
    for name in given:
        if not bool(((entries[name] == 0) | (entries[name] == 1)).all()):
            raise InvalidGraphError(f"{path.name}: {name} holds other values than false and true")
    check_fold(path.name, fold)
    return {split: entries[name].bool() for name, split in _MASKS.items()}


def _drawn_masks(path: Path, entries: dict[str, Tensor], fold: int | None) -> dict[Split, Tensor]:
    noun, rows, fewest = ("graph", "y", _FOLDS) if "batch" in entries else ("node", "x", _FEWEST_NODES)
    count = len(entries[rows]) if entries[rows].dim() else 0
    if count < fewest:
        raise InvalidGraphError(f"{path.name}: {count} {noun}s are too few to be split: give {', '.join(_MASKS)}")
    if noun == "node":
        check_fold(path.name, fold)
        return fraction_split(count, train=0.6, validation=0.2, seed=_SPLIT_SEED)
    return fold_split(entries["y"].reshape(-1).long(), folds=_FOLDS, fold=check_fold(path.name, fold, _FOLDS))


def _read(path: Path) -> dict[str, Tensor]:
    npz = path.suffix.lower() == ".npz"
    if npz and not zipfile.is_zipfile(path):
        raise InvalidGraphError(f"{path.name} cannot be read as a graph of plain arrays: it is not an .npz archive")
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong with the file is said below, in one line
            if npz:
                archive = np.load(file, allow_pickle=False)
                loaded = {name: torch.from_numpy(archive[name]) for name in archive.files}
            else:
                loaded = torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise InvalidGraphError(
            f"{path.name} cannot be read as a graph of plain arrays: it holds other objects than a dictionary of "
            f"tensors, which is what torch.save(data.to_dict(), ...) writes"
        ) from error
    except Exception as error:  # the bytes are a stranger's: a parser may fail on them in any way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidGraphError(f"{path.name} cannot be read as a graph of plain arrays: {reason}") from error
    if not isinstance(loaded, dict) or not all(_is_plain(name, entry) for name, entry in loaded.items()):
        raise InvalidGraphError(f"{path.name} must hold a dictionary of dense, real tensors and nothing else")
    return {name: entry.detach() for name, entry in loaded.items()}


def _is_plain(name: object, entry: object) -> bool:
    return (
        isinstance(name, str)
        and isinstance(entry, Tensor)
        and entry.layout is torch.strided
        and entry.device.type == "cpu"
        and not entry.is_complex()
        and not entry.is_quantized
    )
