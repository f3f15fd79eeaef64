"""Entries of a user's ``.npz`` or ``.pt`` file, or ``.csr`` folder, as tensors."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from mixq_rl.datasets.array_files import ArrayArchive
from mixq_rl.datasets.graph_folder import FOLDER_SUFFIX, GraphFolder
from mixq_rl.datasets.inert import Saved
from mixq_rl.datasets.joined_graphs import join_graphs, join_slices
from mixq_rl.datasets.memory_limit import ExcessError
from mixq_rl.datasets.messages import in_one_line, listed
from mixq_rl.datasets.partial_splits import MASKS
from mixq_rl.datasets.plain_lists import read_list, read_texts
from mixq_rl.datasets.saved_graphs import saved_graphs
from mixq_rl.datasets.sparse_tensors import read_sparse
from mixq_rl.datasets.tensor_files import TensorFile, is_torch_object
from mixq_rl.errors import ArtifactError, DataNotFoundError, InvalidGraphError
from mixq_rl.printable import first_line
from mixq_rl.storage.reading import open_regular

__all__ = ["SUFFIXES", "Entries", "check_exists", "read_entries"]

SUFFIXES = (".npz", ".pt", FOLDER_SUFFIX)

_OTHER_OBJECTS = (
    "it holds other objects than a dictionary of tensors, which is what torch.save(data.to_dict(), ...) writes"
)
_MASK_NAMES = tuple(name for names in MASKS.values() for name in names)
_ADJACENCY = "adj_t"
_ATTRIBUTES = "edge_attr"
_SLICE = "slice "
_ITEMSIZES = {"x": 4, "edge_weight": 4, _ATTRIBUTES: 4, "edge_index": 8, "y": 8, "batch": 8}  # after conversion
_READ = ("x", "edge_index", "edge_weight", "y", "batch", *_MASK_NAMES)
_OPTIONAL = (*(name for name in _MASK_NAMES if not name.endswith("_mask")), _ATTRIBUTES)
_IMPLIED = ("num_nodes", "ptr", "num_graphs")  # known from the others


@dataclass
class Entries:
    """Entries of a file.

    Attributes:
        tensors: known entries by name. ``batch`` is that of several graphs in the file, too.
        names: names of all entries.
        texts: the classes in words, if the file has them in words; ``y`` then holds their numbers, -1 for an empty one.
        notes: what was done to the entries, and which are not used, a line each.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    texts: list[str] | None = None
    notes: list[str] = field(default_factory=list)


def read_entries(path: Path, required: Sequence[str]) -> Entries:
    """Return the entries of a file.

    Nothing is unpickled: no file can make this function call anything.

    Args:
        path: path of the file, which may be a symbolic link.
        required: names of entries that the file must have.

    Raises:
        DataNotFoundError: if the file does not exist, or is no regular file.
        InvalidGraphError: if the file cannot be read, would take too much memory, or lacks an entry.
    """
    check_exists(path)
    entries = _read_folder(path) if path.suffix.lower() == FOLDER_SUFFIX else _read(path)
    missing = [name for name in required if name not in entries.tensors]
    if missing:
        remedy = "; give nodes features, such as their one-hot degrees" if missing == ["x"] else ""
        raise InvalidGraphError(f"{path.name}: {', '.join(missing)} missing; it holds {listed(entries.names)}{remedy}")
    unused = [name for name in entries.names if name not in (*_READ, *_IMPLIED, _ATTRIBUTES, _ADJACENCY)]
    if unused:
        entries.notes.append(f"not used: {listed(unused)}")
    return entries


def check_exists(path: Path) -> None:
    """Check that a graph exists: as a folder if its name ends in ``.csr``, otherwise as a file.

    Raises:
        DataNotFoundError: if it does not.
    """
    is_folder = path.suffix.lower() == FOLDER_SUFFIX
    if not (path.is_dir() if is_folder else path.is_file()):
        noun = "folder" if is_folder else "file"
        beside = f" as a {noun}" if path.exists() else ""
        raise DataNotFoundError(f"graph {noun} {str(path)!r} does not exist{beside}")


def _read_folder(path: Path) -> Entries:
    folder = GraphFolder.open(path)
    try:
        entries = Entries(folder.whole())
    except ExcessError as error:
        raise InvalidGraphError(f"{folder.name} holds {error}") from error
    except InvalidGraphError as error:
        raise InvalidGraphError(f"{folder.name}: {error}") from error
    entries.names = [*entries.tensors, *folder.unused]
    return entries


def _read(path: Path) -> Entries:
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
        reason = in_one_line(first_line(error))
        raise InvalidGraphError(f"{path.name} cannot be read as a graph of plain arrays: {reason}") from error


def _read_npz(name: str, file: BinaryIO) -> Entries:
    size = os.fstat(file.fileno()).st_size
    if not size:
        raise ValueError("the file is empty")
    archive = ArrayArchive(file, size, (*_READ, _ATTRIBUTES), optional=_OPTIONAL, texts=("y",))
    entries = Entries(names=archive.names)
    attributes, edges = archive.headers.get(_ATTRIBUTES), archive.headers.get("edge_index")
    if attributes is not None and not _is_column(attributes.shape, None if edges is None else edges.shape):
        entries.notes.append(_unused_attributes(attributes.shape))
        del archive.headers[_ATTRIBUTES]
    archive.check_memory(_ITEMSIZES, size)
    for entry, header in archive.headers.items():
        if header.dtype.kind not in "biuf" and not (entry == "y" and header.dtype.kind in "SU"):
            raise _not_plain(name, entry)
    for entry in archive.headers:
        array = archive.read(entry)
        if array.dtype.kind in "SU":
            entries.tensors[entry], entries.texts = read_texts(array.reshape(-1))
        else:
            entries.tensors[entry] = torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
    return entries


def _read_pt(name: str, file: BinaryIO) -> Entries:
    if not os.fstat(file.fileno()).st_size:
        raise ValueError("the file is empty")
    saved = TensorFile(file)
    found = saved_graphs(name, saved.value)
    entries = Entries(
        names=list(dict.fromkeys(key for graph in found.graphs for key in graph if graph[key] is not None))
    )
    if found.origin:
        entries.notes.append(f"the file holds {found.origin}: its entries were read")
    known = [_known(graph, saved, entries) for graph in found.graphs]
    slices = {} if found.slices is None else {key: found.slices[key] for key in _READ if key in found.slices}
    saved.check_memory((inert, _ITEMSIZES.get(key, 0)) for graph in known for key, inert in graph.items())
    saved.check_memory((inert, 8) for inert in slices.values())
    graphs = [_tensors(name, graph, saved, entries) for graph in known]
    if len(graphs) > 1 and entries.texts is not None:
        raise InvalidGraphError(f"{name}: y of several graphs is in words: give classes 0, 1, 2, ...")
    if found.slices is not None:
        starts = {key: tensor for key, inert in slices.items() if (tensor := saved.tensor(inert)) is not None}
        entries.tensors = join_slices(name, graphs[0], starts)
    else:
        entries.tensors = graphs[0] if len(graphs) == 1 else join_graphs(name, graphs)
    return entries


def _known(graph: dict[str, Any], saved: TensorFile, entries: Entries) -> dict[str, Any]:
    """Return the entries of a graph that are read. The dictionary of a PyG object has None for missing ones."""
    known = {key: graph[key] for key in _READ if graph.get(key) is not None}
    if "edge_index" not in known and graph.get(_ADJACENCY) is not None:
        known[_ADJACENCY] = graph[_ADJACENCY]
    attributes = graph.get(_ATTRIBUTES)
    shape = None if attributes is None else saved.shape(attributes)
    if shape is not None and _is_column(shape, saved.shape(known.get("edge_index"))):
        known[_ATTRIBUTES] = attributes
    elif attributes is not None and (line := _unused_attributes(shape)) not in entries.notes:
        entries.notes.append(line)
    return known


def _tensors(name: str, graph: dict[str, Any], saved: TensorFile, entries: Entries) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for entry, inert in graph.items():
        tensor = saved.tensor(inert)
        if tensor is None and isinstance(inert, list) and entry == "y" and all(type(item) is str for item in inert):
            tensor, entries.texts = read_texts(np.array(inert, dtype=str))
        elif tensor is None and isinstance(inert, list | int | float):
            tensor = read_list(inert)
        elif tensor is None and entry in ("x", _ADJACENCY):
            tensor = _of_sparse(entry, inert, saved, tensors, entries)
        if tensor is None and entry in _OPTIONAL:
            continue
        if tensor is None:
            if isinstance(inert, Saved) and not is_torch_object(inert):
                raise ValueError(f"{entry}: {_OTHER_OBJECTS}")
            raise _not_plain(name, entry)
        if entry != _ADJACENCY:
            tensors[entry] = tensor
    return tensors


def _of_sparse(
    entry: str, inert: Any, saved: TensorFile, tensors: dict[str, Tensor], entries: Entries
) -> Tensor | None:
    """Return sparse features as a dense tensor, or the edges of a transposed adjacency matrix."""
    matrix = read_sparse(saved, inert)
    if matrix is None:
        return None
    if entry == "x":
        entries.notes.append(f"x {list(matrix.shape)} was sparse: it was read as a dense tensor")
        return matrix.dense(saved.file_bytes)
    tensors["edge_index"] = torch.stack([matrix.columns, matrix.rows])
    if matrix.values is not None and "edge_weight" not in tensors:
        tensors["edge_weight"] = matrix.values
    entries.notes.append("adj_t was read as edge_index" + (" and edge_weight" if matrix.values is not None else ""))
    return tensors["edge_index"]


def _is_column(shape: tuple[int, ...], edges: tuple[int, ...] | None) -> bool:
    """Return whether edge attributes are one number for each edge."""
    return edges is not None and 2 * math.prod(shape) == math.prod(edges) and len(shape) in (1, 2)


def _unused_attributes(shape: tuple[int, ...] | None) -> str:
    form = "" if shape is None else f" {list(shape)}"
    return f"edge_attr{form} is not used: a layer takes one positive weight for each edge, or none"


def _not_plain(name: str, entry: str) -> InvalidGraphError:
    return InvalidGraphError(f"{name}: {entry} must be a dense, real tensor")
