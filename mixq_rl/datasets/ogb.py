"""Access to the datasets of the Open Graph Benchmark (Hu et al., 2020), through the package ``ogb``."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import safe_globals
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage

from mixq_rl.datasets.pyg import untouched
from mixq_rl.datasets.task import Split
from mixq_rl.errors import ArtifactError, DataNotFoundError
from mixq_rl.storage.reading import open_regular

__all__ = ["opened", "own_split"]

_EDGES = "edge.csv.gz"
_SPLITS: dict[str, Split] = {"train": "train", "valid": "validation", "test": "test"}


@contextmanager
def opened(name: str, root: Path, module: str, dataset_class: str, *, expected: int = 0) -> Iterator[Any]:
    """Give the dataset of ``<root>/ogb/<name with underscores>``. Exceptions in the context are damage to the files.

    What ``ogb`` prints is dropped. What it asks before a long download goes to standard error.

    Args:
        name: name of the dataset: ``"ogbn-arxiv"``.
        root: the data root; must exist.
        module: module of ``ogb``: ``"nodeproppred"``.
        dataset_class: class of the module.
        expected: bytes of memory that the dataset takes, if they exceed the limit on unknown files.

    Raises:
        DataNotFoundError: if ``ogb`` cannot be imported, or the files are damaged, incomplete, or do not exist and
            cannot be downloaded.
        InvalidGraphError: if the files would take too much memory.
    """
    try:
        kind = getattr(import_module(f"ogb.{module}"), dataset_class)
    except ImportError as error:
        raise DataNotFoundError(
            f"{name} is read by the package ogb, which cannot be imported ({error}): pip install ogb"
        ) from error
    # ogb saves and loads whole Data objects, which torch.load refuses unless their classes are named as safe.
    parts = safe_globals([DataEdgeAttr, DataTensorAttr, GlobalStorage])
    folder = f"ogb/{name.replace('-', '_')}"
    _check_release(root / folder)
    is_there = (root / folder / "raw" / _EDGES).exists()
    with (
        redirect_stdout(io.StringIO() if is_there else sys.stderr),
        parts,
        untouched(name, root, f"{folder}/raw", optional=("*.csv.gz",), expected=expected) as open_dataset,
    ):
        dataset = open_dataset(kind, root=str(root / "ogb"), name=name)
        _refuse_pickles(Path(dataset.root, "split"))
        yield dataset


def own_split(dataset: Any, rows: int) -> dict[Split, Tensor]:
    """Return the masks of the dataset's own split, bool ``[rows]``."""
    index = dataset.get_idx_split()
    masks: dict[Split, Tensor] = {}
    for theirs, split in _SPLITS.items():
        masks[split] = torch.zeros(rows, dtype=torch.bool)
        masks[split][index[theirs]] = True
    return masks


def _check_release(folder: Path) -> None:
    # Without this file ogb asks whether it may delete the folder.
    if folder.is_dir() and not any(folder.glob("RELEASE_v*.txt")):
        raise DataNotFoundError(
            f"{str(folder)!r} has no file RELEASE_v1.txt, by which ogb knows the version of the files: copy it from "
            f"the archive of the dataset, or make it empty"
        )


def _refuse_pickles(folder: Path) -> None:
    for path in sorted(folder.rglob("*.pt")):
        raise DataNotFoundError(f"{path} is a pickle, which is not read: the split is in the files .csv.gz beside it")
    for path in sorted(folder.rglob("*.csv.gz")):
        try:
            open_regular(path, follow=True).close()
        except ArtifactError as error:
            raise DataNotFoundError(str(error)) from error
