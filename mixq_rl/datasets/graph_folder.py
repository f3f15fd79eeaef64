"""Graphs in folders of ``.npy`` files, of which rows are read when they are needed: for graphs larger than memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixq_rl.datasets.array_rows import ArrayRows
from mixq_rl.datasets.consistency import check_features
from mixq_rl.datasets.memory_limit import check_memory
from mixq_rl.datasets.partial_splits import MASKS
from mixq_rl.edges import check_edge_index, sort_edges
from mixq_rl.errors import DataNotFoundError, InputError, InvalidGraphError
from mixq_rl.printable import printable
from mixq_rl.propagation import Propagation
from mixq_rl.row_blocks import EdgeRows
from mixq_rl.storage.files import replacing_folder

__all__ = ["FOLDER_SUFFIX", "GraphFolder", "save_graph"]

FOLDER_SUFFIX = ".csr"

_SUFFIX = ".npy"
_EDGES = ("rowptr", "col", "edge_weight")
_LABELS = ("y", *(name for names in MASKS.values() for name in names))
_REQUIRED = ("x", "rowptr", "col")


@dataclass(frozen=True, eq=False)
class GraphFolder:
    """A graph in a folder whose name ends in ``.csr``, of which rows are read when they are needed.

    Attributes:
        name: name of the folder, safe to print.
        x: node features, float32 ``[nodes, features]``, in ``x.npy``.
        edges: edges, in ``rowptr.npy``, ``col.npy`` and ``edge_weight.npy``.
        tensors: labels and masks, by the names that the entries of a ``.npz`` file have.
        unused: names of other ``.npy`` files.
    """

    name: str
    x: ArrayRows
    edges: EdgeRows
    tensors: Mapping[str, Tensor]
    unused: tuple[str, ...] = ()

    @classmethod
    def open(cls, path: str | PathLike[str]) -> "GraphFolder":
        """Open a folder that :func:`save_graph` or a user's own program wrote. Labels and masks are read at once.

        Args:
            path: path of the folder. Required files are ``x.npy``, floating point ``[nodes, features]``;
                ``rowptr.npy``, int64 ``[nodes + 1]``; and ``col.npy``, int32 ``[edges]``: the sources of the edges into
                node i, in ascending order, are ``col[rowptr[i]:rowptr[i + 1]]``. Others are ``edge_weight.npy``,
                floating point ``[edges]``, and the labels and masks of a ``.npz`` file.

        Raises:
            DataNotFoundError: if the folder, or a required file, does not exist.
            InvalidGraphError: if a file is damaged, does not fit the others, or labels would take too much memory.
        """
        folder = Path(path)
        name = printable(folder.name)
        if not folder.is_dir():
            raise DataNotFoundError(
                f"graph folder {printable(str(folder))!r} does not exist" + (" as a folder" if folder.exists() else "")
            )
        names = sorted(file.name.removesuffix(_SUFFIX) for file in folder.iterdir() if file.suffix == _SUFFIX)
        if missing := [each for each in _REQUIRED if each not in names]:
            raise InvalidGraphError(f"{name}: {', '.join(each + _SUFFIX for each in missing)} missing")
        try:
            arrays = {
                each: ArrayRows(folder / (each + _SUFFIX), narrowed=each in ("x", "edge_weight"))
                for each in names
                if each in (*_REQUIRED, *_EDGES, *_LABELS)
            }
            x, edges = arrays["x"], EdgeRows(arrays["rowptr"], arrays["col"], arrays.get("edge_weight"))
            if len(x.shape) != 2 or len(x) != edges.num_nodes or not x.dtype.is_floating_point:
                raise InvalidGraphError(
                    f"x must be floating point of shape [{edges.num_nodes}, features], as rowptr says, not {x.dtype} "
                    f"of {list(x.shape)}"
                )
            labels = {each: array for each, array in arrays.items() if each in _LABELS}
            size = sum(array.nbytes for array in arrays.values())
            check_memory(sum(array.nbytes for array in labels.values()), "labels", size)
            tensors = {each: array[:] for each, array in labels.items()}
        except (InvalidGraphError, ValueError) as error:
            raise InvalidGraphError(f"{name}: {error}") from error
        return cls(name, x, edges, tensors, tuple(each for each in names if each not in arrays))

    def whole(self) -> dict[str, Tensor]:
        """Return all entries in memory, with an ``edge_index`` in place of the rows of edges.

        Raises:
            InvalidGraphError: if the files hold no graph.
            ExcessError: if the entries would take too much memory.
        """
        nodes, edges = self.edges.num_nodes, self.edges.num_edges
        size = self.x.nbytes + 8 * nodes + (8 if self.edges.weighted else 4) * edges
        check_memory(4 * nodes * self.x.shape[1] + 16 * edges + 8 * edges * self.edges.weighted, "arrays", size)
        edge_index = torch.empty(2, edges, dtype=torch.int64)
        weight = torch.empty(edges) if self.edges.weighted else None
        done = 0
        for rows in self.edges.blocks():
            csr, of_rows, _ = self.edges.rows(rows, Propagation(weighted=True))
            place = slice(done, done + csr.col.numel())
            edge_index[0, place], edge_index[1, place] = csr.col, csr.target
            if weight is not None and of_rows is not None:
                weight[place] = of_rows.float()
            done = place.stop
        entries = {**self.tensors, "x": self.x[:], "edge_index": edge_index}
        return entries if weight is None else {**entries, "edge_weight": weight}


def save_graph(
    path: str | PathLike[str], x: Tensor, edge_index: Tensor, *, edge_weight: Tensor | None = None, **labels: Tensor
) -> None:
    """Write a graph into a folder, from which ``--dataset`` and ``mixq-rl predict`` read it.

    Args:
        path: path of the folder, ending in ``.csr``. A folder that exists is replaced.
        x: node features, floating point ``[nodes, features]``.
        edge_index: sources and targets, int64 or int32 ``[2, edges]``.
        edge_weight: edge weights, floating point ``[edges]``; None: all 1.
        labels: ``y``, ``train_mask``, ``val_mask``, ``test_mask``, as in a ``.npz`` file.

    Raises:
        InputError: for a path with another ending, or an unknown label.
        InvalidGraphError: for inconsistent tensors.
        OSError: if the folder cannot be written.

    Example:
        >>> import torch, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_graph(f"{folder}/graph.csr", torch.randn(3, 4), torch.tensor([[0, 1], [1, 2]]))
        ...     GraphFolder.open(f"{folder}/graph.csr").edges.num_edges
        2
    """
    folder = Path(path)
    if folder.suffix.lower() != FOLDER_SUFFIX:
        raise InputError(f"{printable(str(folder))!r} does not end in {FOLDER_SUFFIX}, as folders of graphs do")
    if unknown := [name for name in labels if name not in _LABELS]:
        raise InputError(f"unknown labels {', '.join(unknown)}: known are {', '.join(_LABELS)}")
    check_features(x.float() if x.is_floating_point() else x)
    check_edge_index(edge_index, len(x))
    csr, weight, _ = sort_edges(edge_index.cpu(), len(x), None if edge_weight is None else edge_weight.cpu(), "keep", 1)
    entries = {
        "x": x.float() if x.dtype == torch.bfloat16 else x,
        "rowptr": csr.rowptr.long(),
        "col": csr.col,
        **labels,
    }
    if weight is not None:
        entries["edge_weight"] = weight.float()
    with replacing_folder(folder) as draft:
        for name, tensor in entries.items():
            np.save(draft / (name + _SUFFIX), tensor.detach().cpu().contiguous().numpy())
