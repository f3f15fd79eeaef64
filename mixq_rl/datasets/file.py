"""The user's own graph, from a file of arrays."""

import warnings
import zipfile
from pathlib import Path
from pickle import UnpicklingError

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
_FEWEST_NODES = 5


def load_file(path: Path) -> GraphTask:
    """Load a graph from ``.npz``, or from ``.pt`` holding a dictionary of tensors and nothing else.

    Entries: ``x`` ``[nodes, features]``, ``edge_index`` ``[2, edges]``, ``y`` ``[nodes]`` and, all three or none,
    ``train_mask``, ``val_mask``, ``test_mask`` ``[nodes]``. Without masks the nodes are split 60/20/20 by a fixed seed.

    Raises:
        DataNotFoundError: if there is no such file.
        InvalidGraphError: if it cannot be read, lacks an entry, or contradicts itself.
    """
    if not path.is_file():
        raise DataNotFoundError(f"graph file {str(path)!r} does not exist" + (" as a file" if path.exists() else ""))
    entries = _read(path)
    missing = [name for name in ("x", "edge_index", "y") if name not in entries]
    if missing:
        raise InvalidGraphError(
            f"{path.name}: {', '.join(missing)} missing; it holds {', '.join(entries) or 'nothing'}"
        )
    x, edge_index, y = (entries[name] for name in ("x", "edge_index", "y"))
    if y.is_floating_point():
        raise InvalidGraphError(f"{path.name}: y must hold classes 0, 1, 2, ..., as integers, not {y.dtype}")
    if not edge_index.is_floating_point():
        edge_index = edge_index.long()
    return GraphTask(path.name, x.float(), edge_index, y.long(), _masks(path, entries))


def _masks(path: Path, entries: dict[str, Tensor]) -> dict[Split, Tensor]:
    given = [name for name in _MASKS if name in entries]
    if not given:
        nodes = len(entries["x"]) if entries["x"].dim() else 0
        if nodes < _FEWEST_NODES:
            raise InvalidGraphError(f"{path.name}: {nodes} nodes are too few to be split: give {', '.join(_MASKS)}")
        return fraction_split(nodes, train=0.6, validation=0.2, seed=_SPLIT_SEED)
    if len(given) < len(_MASKS):
        raise InvalidGraphError(f"{path.name}: only {', '.join(given)} given; give all of {', '.join(_MASKS)}, or none")
    for name in given:
        if not bool(((entries[name] == 0) | (entries[name] == 1)).all()):
            raise InvalidGraphError(f"{path.name}: {name} holds other values than false and true")
    return {split: entries[name].bool() for name, split in _MASKS.items()}


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
