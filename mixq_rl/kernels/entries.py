"""Entries of sparse features: as torch stores them, or as a checked private copy in order."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mixq_rl.errors import InputError
from mixq_rl.extents import check_held

__all__ = ["Entries", "checked_entries", "stored_entries"]

_PAIRS = (2, torch.int64)


@dataclass(frozen=True)
class Entries:
    """Entries of a sparse matrix in CSR.

    Attributes:
        begin: index into ``column`` at which each row begins, int32 or int64 ``[rows + 1]``.
        column: column of each entry, ``[entries]``, of the dtype of ``begin``.
        value: floating point, ``[entries]``.
        shape: rows and columns.
    """

    begin: Tensor
    column: Tensor
    value: Tensor
    shape: tuple[int, int]

    def row_magnitude(self) -> Tensor:
        """Return the greatest absolute value of each row, ``[rows, 1]`` float64; NaN where a row has one."""
        magnitude = self.value.new_zeros(self.shape[0], dtype=torch.float64)
        return magnitude.scatter_reduce(0, self._row(), self.value.double().abs(), "amax").unsqueeze(1)

    def to_dense(self) -> Tensor:
        """Return the dense matrix."""
        return self.value.new_zeros(self.shape).index_put((self._row(), self.column.long()), self.value)

    def _row(self) -> Tensor:
        return torch.repeat_interleave(self.begin.long().diff(), output_size=self.value.numel())


def stored_entries(x: Tensor, row_begins: Callable[[int, int, int, int], bool]) -> Entries | None:
    """Return the entries of a sparse matrix as they are, unchecked, or None if its rows are not in order.

    Args:
        x: ``torch.sparse_csr`` or ``torch.sparse_coo``, of the CPU.
        row_begins: the native function that writes where each row begins.
    """
    rows, columns = x.shape
    first, column, value = _parts(x)
    if x.layout is torch.sparse_csr:
        return Entries(first, column, value, (rows, columns))
    row, begin = first.contiguous(), torch.empty(rows + 1, dtype=torch.int64, device="cpu")
    if not row_begins(row.data_ptr(), row.numel(), rows, begin.data_ptr()):
        return None
    return Entries(begin, column, value, (rows, columns))


def checked_entries(x: Tensor) -> Entries:
    """Return the entries of a sparse matrix as a private copy: rows and columns ascend, and repeated entries are added.

    Args:
        x: ``torch.sparse_csr`` or ``torch.sparse_coo``, of the CPU.

    Raises:
        InputError: for an index out of bounds.
    """
    rows, columns = x.shape
    row, column, value = _copied(x)
    for name, index, count in (("row", row, rows), ("column", column, columns)):
        low, high = (int(index.min()), int(index.max())) if index.numel() else (0, -1)
        if low < 0 or high >= count:
            offender = low if low < 0 else high
            raise InputError(f"sparse features name {name} {offender}, but there are {name}s 0...{count - 1}")
    copy = torch.sparse_coo_tensor(torch.stack([row, column]), value, (rows, columns), check_invariants=False)
    ordered = copy.coalesce()
    row, column = ordered.indices()
    begin = torch.zeros(rows + 1, dtype=torch.int64, device="cpu")
    begin[1:] = torch.bincount(row, minlength=rows).cumsum(0)
    return Entries(begin, column, ordered.values(), (rows, columns))


def _copied(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return copies of the rows, int64, columns, int64, and values of all entries."""
    first, column, value = (part.clone() for part in _parts(x))
    if x.layout is torch.sparse_coo:
        return first.long(), column.long(), value
    counts, entries = first.long().diff(), value.numel()
    if int(first[0]) != 0 or int(first[-1]) != entries or bool((counts < 0).any()) or bool((first < 0).any()):
        raise InputError(f"the rows of sparse features must begin at ascending places from 0 to {entries}")
    return torch.repeat_interleave(counts, output_size=entries), column.long(), value


def _parts(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return where rows begin (CSR) or the row of each entry (COO, int64), the columns, and the values.

    Shapes, dtypes and memory are checked: torch constructs, and changes, sparse tensors whose parts do not fit.
    """
    by_row = x.layout is torch.sparse_csr
    indices, value = (None, x.values()) if by_row else (x._indices(), x._values())
    first, column = (x.crow_indices(), x.col_indices()) if indices is None else (indices[0], indices[-1])
    count = x.shape[0] + 1 if by_row else value.numel()
    fits = first.shape == (count,) and value.dim() == 1 and column.shape == value.shape
    if not fits or first.dtype != column.dtype or (indices is not None and (len(indices), indices.dtype) != _PAIRS):
        raise InputError("the indices and values of sparse features do not fit each other: construct the tensor again")
    check_held((("the rows of x", first), ("the columns of x", column), ("the values of x", value)))
    return first, column, value
