"""Sparse tensors in a ``.pt`` file: those of torch, and the ``SparseTensor`` of torch_sparse."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mixq_rl.datasets.inert import Named, Saved
from mixq_rl.datasets.memory_limit import check_memory
from mixq_rl.datasets.tensor_files import TensorFile

__all__ = ["SparseMatrix", "read_sparse"]

_REBUILD = Named("torch._utils", "_rebuild_sparse_tensor")
_LAYOUT = Named("torch.serialization", "_get_layout")
_SIZE = Named("torch", "Size")
_SPARSE_TENSOR = Named("torch_sparse.tensor", "SparseTensor")


@dataclass(frozen=True)
class SparseMatrix:
    """Entries of a sparse matrix, which were checked against its shape.

    Attributes:
        rows: row of each entry, int64 ``[entries]``.
        columns: column of each entry, int64 ``[entries]``.
        values: value of each entry, ``[entries]``; None: all 1.
        shape: numbers of rows and columns.
    """

    rows: Tensor
    columns: Tensor
    values: Tensor | None
    shape: tuple[int, int]

    def dense(self, file_bytes: int) -> Tensor:
        """Return the dense matrix in float32.

        Args:
            file_bytes: size of the file, for the limit on memory.

        Raises:
            ExcessError: if it would take too much memory.
        """
        check_memory(4 * math.prod(self.shape), "tensors", file_bytes)
        values = torch.ones(self.rows.shape) if self.values is None else self.values.float()
        return torch.zeros(self.shape).index_put((self.rows, self.columns), values, accumulate=True)


def read_sparse(file: TensorFile, inert: Any) -> SparseMatrix | None:
    """Return a sparse matrix; None if ``inert`` is none.

    Raises:
        ExcessError: if it would take too much memory.
        ValueError: for a matrix that contradicts itself.
    """
    if not isinstance(inert, Saved) or not isinstance(inert.made_by, Named):
        return None
    if inert.made_by == _REBUILD:
        return _of_torch(file, inert.arguments)
    if inert.made_by == _SPARSE_TENSOR:
        return _of_torch_sparse(file, inert.state)
    return None


def _of_torch(file: TensorFile, arguments: Any) -> SparseMatrix | None:
    if not isinstance(arguments, tuple) or len(arguments) != 2 or not isinstance(arguments[1], tuple):
        return None
    layout, parts = arguments
    name = layout.arguments if isinstance(layout, Saved) and layout.made_by == _LAYOUT else None
    if name == ("torch.sparse_coo",) and len(parts) >= 3:
        indices, values = _tensors(file, parts[:2])
        if indices.dim() != 2 or len(indices) != 2 or values.dim() != 1:
            return None
        return _checked(indices[0], indices[1], values, _shape(parts[2]))
    if name in (("torch.sparse_csr",), ("torch.sparse_csc",)) and len(parts) == 4:
        pointers, indices, values = _tensors(file, parts[:3])
        shape = _shape(parts[3])
        if name == ("torch.sparse_csr",):
            return _checked(_expanded(pointers, indices), indices, values, shape)
        return _checked(indices, _expanded(pointers, indices), values, shape)
    return None


def _of_torch_sparse(file: TensorFile, state: Any) -> SparseMatrix | None:
    storage = state.get("storage") if isinstance(state, dict) else None
    parts = storage.state if isinstance(storage, Saved) else None
    if not isinstance(parts, dict):
        return None
    (columns,) = _tensors(file, [parts.get("_col")])
    if parts.get("_row") is not None:
        (rows,) = _tensors(file, [parts["_row"]])
    else:
        (pointers,) = _tensors(file, [parts.get("_rowptr")])
        rows = _expanded(pointers, columns)
    values = None if parts.get("_value") is None else _tensors(file, [parts["_value"]])[0]
    return _checked(rows, columns, values, _shape(parts.get("_sparse_sizes")))


def _tensors(file: TensorFile, inert: Any) -> list[Tensor]:
    file.check_memory((part, 8) for part in inert)
    found = [file.tensor(part) for part in inert]
    if any(tensor is None for tensor in found):
        raise ValueError("a sparse tensor of other parts than tensors")
    return [tensor for tensor in found if tensor is not None]


def _shape(inert: Any) -> tuple[int, int]:
    if isinstance(inert, Saved) and inert.made_by == _SIZE and isinstance(inert.arguments, tuple):
        inert = inert.arguments[0] if len(inert.arguments) == 1 else None
    if not isinstance(inert, tuple) or len(inert) != 2 or not all(type(n) is int and 0 <= n < 2**31 for n in inert):
        raise ValueError("a sparse tensor without two dimensions")
    return inert[0], inert[1]


def _expanded(pointers: Tensor, indices: Tensor) -> Tensor:
    """Return the row of each entry, from the first entry of each row."""
    if pointers.dim() != 1 or pointers.is_floating_point() or not pointers.numel():
        raise ValueError("a sparse tensor of damaged rows")
    counts = pointers.long().diff()
    if int(pointers[0]) != 0 or int(pointers[-1]) != indices.numel() or bool((counts < 0).any()):
        raise ValueError("a sparse tensor of damaged rows")
    return torch.arange(counts.numel()).repeat_interleave(counts)


def _checked(rows: Tensor, columns: Tensor, values: Tensor | None, shape: tuple[int, int]) -> SparseMatrix:
    entries = rows.numel()
    for place, index in enumerate((rows, columns)):
        if index.shape != (entries,) or index.is_floating_point():
            raise ValueError("a sparse tensor of damaged indices")
        if entries and (int(index.min()) < 0 or int(index.max()) >= shape[place]):
            raise ValueError("a sparse tensor with entries beyond its shape")
    if values is not None and values.shape != (entries,):
        raise ValueError("a sparse tensor with other values than its entries")
    return SparseMatrix(rows.long(), columns.long(), values, shape)
