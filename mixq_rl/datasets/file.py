"""The user's own graph, from a file of arrays."""

import warnings
from pathlib import Path
from pickle import UnpicklingError
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from mixq_rl.datasets.splits import fraction_split
from mixq_rl.datasets.task import GraphTask, Split
from mixq_rl.errors import DataNotFoundError, InvalidGraphError

__all__ = ["SUFFIXES", "load_file"]

SUFFIXES = (".npz", ".pt")

_MASKS: dict[str, Split] = {"train_mask": "train", "val_mask": "validation", "test_mask": "test"}
_SPLIT_SEED = 0
_UNREADABLE = (OSError, ValueError, TypeError, AttributeError, BadZipFile, RuntimeError, EOFError, UnpicklingError)


def load_file(path: Path) -> GraphTask:
    """Load a graph from ``.npz``, or from ``.pt`` holding a dictionary of tensors and nothing else.

    Entries: ``x`` ``[nodes, features]``, ``edge_index`` ``[2, edges]``, ``y`` ``[nodes]`` and, all three or none,
    ``train_mask``, ``val_mask``, ``test_mask`` ``[nodes]``. Without masks the nodes are split 60/20/20 by a fixed seed.

    Raises:
        DataNotFoundError: if there is no such file.
        InvalidGraphError: if it cannot be read, lacks an entry, or contradicts itself.
    """
    if not path.is_file():
        raise DataNotFoundError(f"graph file {str(path)!r} does not exist")
    entries = _read(path)
    missing = [name for name in ("x", "edge_index", "y") if name not in entries]
    if missing:
        raise InvalidGraphError(
            f"{path.name}: {', '.join(missing)} missing; it holds {', '.join(entries) or 'nothing'}"
        )
    given = [name for name in _MASKS if name in entries]
    if given and len(given) < len(_MASKS):
        raise InvalidGraphError(f"{path.name}: only {', '.join(given)} given; give all of {', '.join(_MASKS)}, or none")
    x, y = entries["x"].float(), entries["y"]
    if y.is_floating_point() or y.is_complex():
        raise InvalidGraphError(f"{path.name}: y must hold classes 0, 1, 2, ..., as integers, not {y.dtype}")
    masks = (
        {split: entries[name].bool() for name, split in _MASKS.items()}
        if given
        else fraction_split(x.shape[0] if x.dim() else 0, train=0.6, validation=0.2, seed=_SPLIT_SEED)
    )
    edge_index = entries["edge_index"]
    if not edge_index.is_floating_point():
        edge_index = edge_index.long()
    return GraphTask(path.name, x, edge_index, y.long(), masks)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong with the file is said below, in one line
            if path.suffix == ".npz":
                archive = np.load(file, allow_pickle=False)
                return {name: torch.from_numpy(archive[name]) for name in archive.files}
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidGraphError(f"{path.name} cannot be read as a graph of plain arrays: {reason}") from error
    if not isinstance(loaded, dict) or not all(isinstance(entry, Tensor) for entry in loaded.values()):
        raise InvalidGraphError(f"{path.name} must hold a dictionary of tensors and nothing else")
    return loaded
