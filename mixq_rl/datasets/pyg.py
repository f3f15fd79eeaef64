"""Access to PyTorch Geometric's datasets that writes nothing but their raw files."""

import io
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

from mixq_rl.errors import DataNotFoundError, InputError

__all__ = ["Graphs", "side_by_side", "untouched"]

_ANOTHER_FOLDER = "name another data folder with --data-root or MIXQ_RL_DATA"
_LISTED_FILES = 8


@contextmanager
def untouched(name: str, root: Path, raw: str, *, hint: str = "") -> Iterator[Callable[..., Any]]:
    """Give a function that opens a dataset class, ``open_dataset(Planetoid, root=..., name=...)``.

    The function downloads the raw files if they do not exist. Processed files go to a temporary folder that is removed
    when the context ends. The remains of a failed download are removed.

    Args:
        name: name of the dataset, for messages.
        root: the data root; must exist.
        raw: folder of the raw files below ``root``.
        hint: end of the message about a failed download.

    Raises:
        DataNotFoundError: if the raw files are damaged, or do not exist and cannot be downloaded.
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
            yield partial(_open, name, hint, scratch)
        except InputError:
            raise
        except Exception as error:  # parsers raise exceptions of any kind for damaged files
            raise DataNotFoundError(
                f"the files of {name} in {str(folder)!r} are damaged ({_reason(error)}): "
                f"delete that folder and fetch them anew"
            ) from error


def _open(name: str, hint: str, scratch: str, dataset_class: type, /, **arguments: Any) -> Any:
    attributes = {"asked_for": name, "hint": hint, "processed_dir": scratch}
    return type(dataset_class.__name__, (_Untouched, dataset_class), attributes)(**arguments)


class _Untouched(Dataset):
    """Dataset that adds nothing to its root but complete raw files."""

    asked_for: str
    hint: str

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
                f"no files of {self.asked_for} in {str(raw)!r}, and downloading them failed ({_reason(error)}): "
                f"copy the files {listed} there, or {_ANOTHER_FOLDER}{self.hint}"
            ) from error


def _remove_all_but(kept: set[Path], raw: Path) -> None:
    for path in sorted(raw.rglob("*"), reverse=True):
        if path not in kept:
            path.rmdir() if path.is_dir() else path.unlink()
    for folder in (raw, *raw.parents):
        if folder in kept:
            return
        if folder.exists():
            folder.rmdir()


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__


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
