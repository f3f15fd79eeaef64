"""Private copies of the raw files of datasets, which hold nothing but what was checked."""

import gzip
import math
import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy import sparse

from mixq_rl.datasets.array_files import ArrayArchive, read_header
from mixq_rl.datasets.memory_limit import ExcessError, check_memory
from mixq_rl.datasets.planetoid_files import MATRICES, check_together, read_graph, read_matrix, write_plain
from mixq_rl.datasets.sparse_rows import checked_csr
from mixq_rl.errors import ArtifactError, DataNotFoundError
from mixq_rl.storage.limits import DOCUMENT
from mixq_rl.storage.reading import open_regular, parse_json, read_regular

__all__ = ["copy_checked"]

_PICKLED = "ind."
_TEST_NODES = "test.index"
_LINKS = "_graph.json"
_PARSED = 4  # a link takes four times the memory of its text
_INDICATOR, _NODE_LABELS = "_graph_indicator.txt", "_node_labels.txt"
_SPARSE = {"attr_": True, "adj_": False, "": False}  # prefix of the arrays' names: whether the matrix will be dense
_PARTS = ("data", "indices", "indptr", "shape")
_ITEMSIZES = {
    **dict.fromkeys(("features", "feature"), 4),
    **dict.fromkeys(("labels", "label", "target", "edges", "row", "col"), 8),
    **{f"{prefix}{part}": 8 for prefix in _SPARSE for part in ("indices", "indptr")},
}
_ARRAYS = (
    *_ITEMSIZES,
    *(f"{prefix}{part}" for prefix in _SPARSE for part in ("data", "shape")),
    *("node_types", "format", "_is_array", "train_mask", "val_mask", "test_mask"),
)
_FLOAT_BYTES = 4
_DENSE_COPIES, _LABEL_COPIES = 2, 3  # while PyTorch Geometric processes them
_CHUNK = 2**20
_MOST_LISTS = 1_000
_TEXT_SHARE = 8  # text that is compressed by gzip may be so many times as long


def copy_checked(paths: Sequence[Path], folder: Path, expected: int = 0) -> None:
    """Copy raw files of a dataset into a folder, in the form that PyTorch Geometric reads.

    Arrays and pickles are read, checked and written anew: no pickle of a stranger is unpickled, and no array of objects
    is copied. Entries of ``.npz`` files that no dataset needs are left out. All files may be symbolic links, but must
    be regular files.

    Args:
        paths: paths of the files. Files that do not exist are left out.
        folder: folder for the copies; must exist.
        expected: bytes of memory that a known dataset takes.

    Raises:
        DataNotFoundError: if a path is no regular file, or a JSON file exceeds a limit.
        ExcessError: if the arrays would take too much memory.
        ValueError: if a file is damaged.
    """
    pickled = [path for path in paths if path.name.startswith(_PICKLED)]
    if pickled:
        _copy_planetoid(pickled, folder)
    for path in paths:
        if path in pickled or not path.exists():
            continue
        copy = _KINDS.get(path.suffix)
        if copy is None:
            raise ValueError(f"{path.name} is a file of an unknown kind")
        try:
            copy(path, folder / path.name, expected)
        except ExcessError as error:
            raise ExcessError(f"{path.name} holds {error}") from error
        except ArtifactError as error:
            raise DataNotFoundError(str(error)) from error
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from error


def _copy_text(path: Path, target: Path, expected: int = 0) -> None:
    with open_regular(path, follow=True) as file, target.open("wb") as copy:
        shutil.copyfileobj(file, copy, _CHUNK)
    if target.name.endswith(_INDICATOR):
        graphs = _integers(target)
        if graphs.size and not 1 <= int(graphs.min()) <= int(graphs.max()) <= len(graphs):
            raise ValueError(f"graphs {int(graphs.min())}...{int(graphs.max())} for {len(graphs)} nodes")
    elif target.name.endswith(_NODE_LABELS):
        labels = _integers(target)
        if labels.size:
            columns = sum(int(column.max()) - int(column.min()) + 1 for column in labels.T)
            size = _LABEL_COPIES * len(labels) * columns * _FLOAT_BYTES
            check_memory(size, "one-hot labels", target.stat().st_size, expected)


def _integers(path: Path) -> np.ndarray:
    if not path.stat().st_size:
        return np.zeros((0, 1), dtype=np.int64)
    return np.loadtxt(path, dtype=np.int64, delimiter=",", comments=None, ndmin=2)


def _copy_json(path: Path, target: Path, expected: int) -> None:
    if path.name.endswith(_LINKS):  # long, and read by a parser of its own, which makes nothing but numbers
        _copy_text(path, target)
        check_memory(_PARSED * target.stat().st_size, "at least a text", target.stat().st_size, expected)
        return
    content = read_regular(path, DOCUMENT, follow=True)
    if content.count(b"[") + content.count(b"{") > _MOST_LISTS:  # many empty ones take twenty times their size
        raise ValueError(f"more than {_MOST_LISTS} lists and dictionaries")
    parse_json(content, str(path))
    target.write_bytes(content)


def _copy_gzipped(path: Path, target: Path, expected: int) -> None:
    _copy_text(path, target)
    found, size = 0, target.stat().st_size
    with gzip.open(target) as text:
        while chunk := text.read(_CHUNK):
            found += len(chunk)
            check_memory(found, "at least a text", _TEXT_SHARE * size, expected)


def _copy_npy(path: Path, target: Path, expected: int) -> None:
    _copy_text(path, target)
    size = target.stat().st_size
    with target.open("rb") as file:
        start = file.read(12)
        file.seek(0)
        header = read_header(file, size, start, path.stem)
    check_memory(header.bytes_as(_FLOAT_BYTES), "an array", size, expected)


def _copy_npz(path: Path, target: Path, expected: int) -> None:
    with open_regular(path, follow=True) as file:
        size = os.fstat(file.fileno()).st_size
        archive = ArrayArchive(file, size, _ARRAYS)
        archive.check_memory(_ITEMSIZES, size, expected)
        with zipfile.ZipFile(target, "w") as copies:
            for name in archive.headers:
                with copies.open(f"{name}.npy", "w", force_zip64=True) as copy:
                    np.lib.format.write_array(copy, archive.read(name), allow_pickle=False)
        for prefix, dense in _SPARSE.items():
            names = [f"{prefix}{part}" for part in _PARTS]
            if all(name in archive.headers for name in names):
                matrix = checked_csr(*(archive.read(name) for name in names))
                if dense:
                    itemsize = matrix.dtype.itemsize + _FLOAT_BYTES * (matrix.dtype != np.float32)
                    check_memory(_DENSE_COPIES * math.prod(matrix.shape) * itemsize, "features", size, expected)


def _copy_planetoid(paths: Sequence[Path], folder: Path) -> None:
    matrices: dict[str, np.ndarray | sparse.csr_matrix] = {}
    graph: dict[int, list[int]] = {}
    total = 0
    for path in paths:
        target = folder / path.name
        part = path.name.split(".", 2)[2]
        try:
            if part == _TEST_NODES:
                _copy_text(path, target)
                test = _integers(target)
                continue
            with open_regular(path, follow=True) as file:
                content = file.read(os.fstat(file.fileno()).st_size)
            total += len(content)
            if part in MATRICES:
                matrices[part] = read_matrix(content)
            else:
                graph = read_graph(content)
        except ArtifactError as error:
            raise DataNotFoundError(str(error)) from error
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from error
        write_plain(target, matrices.get(part, graph))
    check_together(matrices, graph, test, total)


_KINDS: dict[str, Callable[[Path, Path, int], None]] = {
    ".gz": _copy_gzipped,
    ".json": _copy_json,
    ".npy": _copy_npy,
    ".npz": _copy_npz,
    ".pt": _copy_text,
    ".txt": _copy_text,
}
