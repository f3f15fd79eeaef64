"""Access to PyTorch Geometric's datasets that writes nothing but their raw files."""

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset

from mixq_rl.datasets.memory_limit import ExcessError
from mixq_rl.datasets.messages import in_one_line
from mixq_rl.datasets.raw_files import copy_checked
from mixq_rl.errors import DataNotFoundError, InputError, InvalidGraphError
from mixq_rl.printable import first_line

__all__ = ["Graphs", "side_by_side", "untouched"]

_ANOTHER_FOLDER = "name another data folder with --data-root or MIXQ_RL_DATA"
_LISTED_FILES = 8


@contextmanager
def untouched(
    name: str, root: Path, raw: str, *, optional: Sequence[str] = (), expected: int = 0, hint: str = ""
) -> Iterator[Callable[..., Any]]:
    """Give a function that opens a dataset class, ``open_dataset(Planetoid, root=..., name=...)``.

    The function downloads the raw files if they do not exist. The remains of a failed download are removed. PyTorch
    Geometric reads checked copies of the raw files (:func:`~mixq_rl.datasets.raw_files.copy_checked`), never the raw
    files. Copies and processed files go to a temporary folder that is removed when the context ends. Any exception in
    the context is answered as damage to the files.

    Args:
        name: name of the dataset, for messages.
        root: the data root; must exist.
        raw: folder of the raw files below ``root``.
        optional: patterns of the names of raw files that the dataset reads if they exist.
        expected: bytes of memory that the dataset takes, if they exceed the limit on unknown files.
        hint: end of the message about a failed download.

    Raises:
        DataNotFoundError: if the raw files are damaged, or do not exist and cannot be downloaded.
        InvalidGraphError: if the raw files would take too much memory.
    """
    folder = root / raw
    if not root.is_dir():
        raise DataNotFoundError(
            f"data folder {str(root)!r} does not exist: looked for the files of {name} in {str(folder)!r}; create the "
            f"folder to have them downloaded into it, or {_ANOTHER_FOLDER}"
        )
    # PyTorch Geometric prints its progress to standard error.
    with tempfile.TemporaryDirectory() as scratch, redirect_stderr(io.StringIO()):
        try:
            settings = {"asked_for": name, "hint": hint, "optional": tuple(optional), "expected": expected}
            yield partial(_open, {**settings, "processed_dir": scratch})
        except InputError:
            raise
        except ExcessError as error:
            raise InvalidGraphError(f"the files of {name} in {str(folder)!r} are too great: {error}") from error
        except Exception as error:  # parsers raise exceptions of any kind for damaged files
            raise DataNotFoundError(
                f"the files of {name} in {str(folder)!r} are damaged ({in_one_line(first_line(error))}): "
                f"delete that folder and fetch them anew"
            ) from error


def _open(settings: dict[str, Any], dataset_class: type, /, **arguments: Any) -> Any:
    return type(dataset_class.__name__, (_Untouched, dataset_class), settings)(**arguments)


class _Untouched(Dataset):
    """Dataset that adds nothing to its root but complete raw files, and that reads checked copies of them."""

    asked_for: str
    hint: str
    optional: Sequence[str]
    expected: int
    processed_dir: str
    _copies: str | None = None

    @property
    def raw_dir(self) -> str:
        return self._copies or str(super().raw_dir)

    def _download(self) -> None:
        if all(Path(path).exists() for path in self.raw_paths):
            return
        raw = Path(self.raw_dir)
        names = [Path(path).name for path in self.raw_paths]
        kept = {*raw.rglob("*"), *(folder for folder in (raw, *raw.parents) if folder.exists())}
        try:
            super()._download()
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            _remove_all_but(kept, raw)
            if isinstance(error, KeyboardInterrupt):
                raise
            listed = ", ".join(names[:_LISTED_FILES]) + (", ..." if len(names) > _LISTED_FILES else "")
            raise DataNotFoundError(
                f"no files of {self.asked_for} in {str(raw)!r}, and downloading them failed "
                f"({in_one_line(first_line(error))}): copy the files {listed} there, or {_ANOTHER_FOLDER}{self.hint}"
            ) from error

    def _process(self) -> None:
        found = [path for pattern in self.optional for path in sorted(Path(self.raw_dir).glob(pattern))]
        paths = dict.fromkeys([*map(Path, self.raw_paths), *found])
        copies = Path(self.processed_dir, "raw")
        copies.mkdir()
        copy_checked(list(paths), copies, self.expected)
        self._copies = str(copies)
        super()._process()
        shutil.rmtree(copies)

    @classmethod
    def save(cls, data_list: Sequence[Data], path: str) -> None:
        # PyTorch Geometric's own method holds two more copies of the data in memory.
        data, slices = cls.collate(data_list)
        torch.save((data.to_dict(), slices, data.__class__), path)


def _remove_all_but(kept: set[Path], raw: Path) -> None:
    for path in sorted(raw.rglob("*"), reverse=True):
        if path not in kept:
            path.rmdir() if path.is_dir() else path.unlink()
    for folder in (raw, *raw.parents):
        if folder in kept:
            return
        if folder.exists():
            folder.rmdir()


@dataclass(frozen=True)
class Graphs:
    """Many graphs, one after another.

    Attributes:
        x: node features, ``[nodes, features]``; None if nodes have no features.
        edge_index: edges, with nodes numbered over all graphs, int64 ``[2, edges]``.
        y: labels, ``[graphs]``, or longer if graphs have several labels.
        batch: graph of each node, int64 ``[nodes]``.
    """

    x: Tensor | None
    edge_index: Tensor
    y: Tensor
    batch: Tensor


def side_by_side(graphs: Sequence[Data]) -> Graphs:
    """Return graphs one after another. Positions (``pos``), if graphs have any, become features after ``x``."""
    num_nodes = torch.tensor([graph.num_nodes for graph in graphs])
    first = (num_nodes.cumsum(0) - num_nodes).tolist()
    columns = [
        torch.cat([_two_dimensional(graph[key]) for graph in graphs])
        for key in ("x", "pos")
        if graphs[0].get(key) is not None
    ]
    return Graphs(
        torch.cat(columns, dim=1).float() if columns else None,
        torch.cat([graph.edge_index.long() + start for graph, start in zip(graphs, first, strict=True)], dim=1),
        torch.cat([graph.y.reshape(-1) for graph in graphs]),
        torch.arange(len(graphs)).repeat_interleave(num_nodes),
    )


def _two_dimensional(features: Tensor) -> Tensor:
    return features.unsqueeze(1) if features.dim() == 1 else features
