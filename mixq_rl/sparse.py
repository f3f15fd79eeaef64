"""Sparse matrices for training, with gradients to the entries and to the dense factor of a product."""

import warnings
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, Self

import torch
from torch import Tensor

from mixq_rl.conditions import require
from mixq_rl.errors import InvalidGraphError

__all__ = ["CSR", "SparseMatrix", "as_features", "check_entries", "dropout"]

_SPARSE_BELOW = 0.1
_GATHERED = 2**28
"""Number of entries that a deterministic product gathers at once: 1 GiB of float32."""


def check_entries(edges: int, heads: int = 1) -> None:
    """Check that the number of entries of a matrix fits 32-bit indices.

    Raises:
        InvalidGraphError: for too many edges.
    """
    beyond = "are more than 32-bit indices can tell apart: sample the graph"
    if heads > 1:
        beyond = f"for each of {heads} heads {beyond}, or take fewer heads"
    require(edges * heads < 2**31, f"edges {beyond}", lambda: InvalidGraphError(f"{edges} edges {beyond}"))


@dataclass(frozen=True)
class CSR:
    """Sparsity pattern of a matrix in compressed sparse row form.

    Attributes:
        rowptr: index into ``col`` at which each row begins, int32 ``[rows + 1]``.
        col: column of each entry, int32 ``[entries]``.
        num_columns: number of columns.
        first_row: number of the first row in the matrix that the rows are a block of.
    """

    rowptr: Tensor
    col: Tensor
    num_columns: int
    first_row: int = 0

    @property
    def num_rows(self) -> int:
        return self.rowptr.numel() - 1

    @cached_property
    def row(self) -> Tensor:
        """The row of each entry, int64 ``[entries]``."""
        rows = torch.arange(self.num_rows, device=self.rowptr.device)
        return torch.repeat_interleave(rows, self.rowptr.diff(), output_size=self.col.numel())

    @property
    def target(self) -> Tensor:
        """The row of each entry in the whole matrix, int64 ``[entries]``."""
        return self.row if not self.first_row else self.row + self.first_row

    @cached_property
    def fullest_row(self) -> tuple[int, int]:
        """Index of the row with the most entries, and their number; (0, 0) for a matrix without rows."""
        if not self.num_rows:
            return 0, 0
        entries, row = self.rowptr.diff().max(dim=0)
        return int(row), int(entries)

    @cached_property
    def transposed(self) -> tuple["CSR", Tensor]:
        """Sparsity pattern of the transposed matrix, and the permutation of the entries."""
        order = torch.argsort(self.col, stable=True)
        counts = torch.bincount(self.col, minlength=self.num_columns)
        rowptr = torch.zeros(self.num_columns + 1, dtype=torch.int32, device=self.col.device)
        rowptr[1:] = counts.cumsum(0)
        return CSR(rowptr, self.row[order].to(torch.int32), self.num_rows), order

    def repeated(self, heads: int) -> tuple["CSR", Tensor]:
        """Return the sparsity pattern of ``heads`` matrices with this pattern, interleaved, and an order of entries.

        Row ``i * heads + h`` of the result is row i of matrix h, and column ``j * heads + h`` is its column j. The
        entries are ``value.flatten()[order]``, where ``value`` is ``[entries, heads]`` and ``order`` is int64
        ``[entries * heads]``. The result is computed once.

        Raises:
            InvalidGraphError: for more entries than fit 32-bit indices.
        """
        if heads not in self._repeated:
            check_entries(self.col.numel(), heads)
            counts = self.rowptr.diff().long().repeat_interleave(heads)
            rowptr = torch.zeros(counts.numel() + 1, dtype=torch.int64, device=self.rowptr.device)
            rowptr[1:] = counts.cumsum(0)
            rows = torch.arange(counts.numel(), device=self.rowptr.device)
            row = torch.repeat_interleave(rows, counts, output_size=self.col.numel() * heads)
            within = torch.arange(row.numel(), device=row.device) - rowptr[row]
            entry, head = self.rowptr.long()[row // heads] + within, row % heads
            col = self.col.long()[entry] * heads + head
            csr = CSR(rowptr.to(torch.int32), col.to(torch.int32), self.num_columns * heads)
            self._repeated[heads] = (csr, entry * heads + head)
        return self._repeated[heads]

    @cached_property
    def _repeated(self) -> dict[int, tuple["CSR", Tensor]]:
        return {}

    def matmul(self, value: Tensor, x: Tensor) -> Tensor:
        """Return the product of the matrix with entries ``value`` ``[entries]`` and ``x`` ``[columns, features]``."""
        product: Tensor = _Matmul.apply(self, value, x)
        return product

    def _product(self, value: Tensor, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and not torch.backends.mkl.is_available():
            gathered = x.index_select(0, self.col.long()) * value.unsqueeze(1)
            return x.new_zeros(self.num_rows, x.shape[1]).index_add_(0, self.row, gathered)
        # In cuSPARSE only the third algorithm is deterministic, and torch does not choose it.
        if x.is_cuda and torch.are_deterministic_algorithms_enabled():
            return self._summed_in_order(value, x)
        return self._tensor(value) @ x

    def _dot_products(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the product of each entry's row ``[rows, features]`` and column ``[columns, features]``."""
        if rows.device.type == "cpu" and torch.backends.mkl.is_available():
            sampled = torch.sparse.sampled_addmm(
                self._tensor(rows.new_zeros(self.col.numel())), rows, columns.t(), beta=0
            )
            return sampled.values()
        return (rows.index_select(0, self.row) * columns.index_select(0, self.col.long())).sum(dim=1)

    def _tensor(self, value: Tensor) -> Tensor:
        _announce_beta_once()
        shape = (self.num_rows, self.num_columns)
        return torch.sparse_csr_tensor(self.rowptr, self.col, value, shape, check_invariants=False)

    def _summed_in_order(self, value: Tensor, x: Tensor) -> Tensor:
        """Return the product, with each row summed from its first entry to its last."""
        if not self.col.numel():
            return x.new_zeros(self.num_rows, x.shape[1])
        col, offsets, factor = self.col.long(), self.rowptr.long(), value.unsqueeze(1)
        columns = max(1, _GATHERED // self.col.numel())
        parts = [
            torch.segment_reduce(
                part.index_select(0, col) * factor, "sum", offsets=offsets, axis=0, unsafe=True, initial=0
            )
            for part in x.split(columns, dim=1)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


@cache
def _announce_beta_once() -> None:
    # torch warns once in a process that CSR tensors are in beta. Users need not see this warning.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1), check_invariants=False)


class _Matmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, csr: CSR, value: Tensor, x: Tensor) -> Tensor:
        ctx.csr = csr
        ctx.save_for_backward(value, x)
        return csr._product(value, x)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        csr: CSR = ctx.csr
        value, x = ctx.saved_tensors
        gradient = grad[0].contiguous()
        value_grad = x_grad = None
        if ctx.needs_input_grad[1]:
            value_grad = csr._dot_products(gradient, x)
        if ctx.needs_input_grad[2]:
            transposed, order = csr.transposed
            x_grad = transposed._product(value[order], gradient)
        return None, value_grad, x_grad


@dataclass(frozen=True)
class SparseMatrix:
    """Sparse matrix: sparsity pattern and entries.

    Attributes:
        csr: sparsity pattern.
        value: entries, floating point ``[entries]``.
    """

    csr: CSR
    value: Tensor

    @classmethod
    def from_dense(cls, x: Tensor) -> Self:
        row, col = x.nonzero(as_tuple=True)
        rowptr = torch.zeros(x.shape[0] + 1, dtype=torch.int32, device=x.device)
        rowptr[1:] = torch.bincount(row, minlength=x.shape[0]).cumsum(0)
        return cls(CSR(rowptr, col.to(torch.int32), x.shape[1]), x[row, col])

    @property
    def shape(self) -> tuple[int, int]:
        return self.csr.num_rows, self.csr.num_columns

    @property
    def dtype(self) -> torch.dtype:
        return self.value.dtype

    @property
    def device(self) -> torch.device:
        return self.value.device

    def element_size(self) -> int:
        return self.value.element_size()

    def with_value(self, value: Tensor) -> Self:
        return replace(self, value=value)

    def to_dense(self) -> Tensor:
        return self.value.new_zeros(self.shape).index_put((self.csr.row, self.csr.col.long()), self.value)

    def __matmul__(self, x: Tensor) -> Tensor:
        return self.csr.matmul(self.value, x)


def as_features(x: Tensor) -> Tensor | SparseMatrix:
    """Return ``x`` as a sparse matrix if less than 10 % of its entries are not 0, which makes training faster."""
    return SparseMatrix.from_dense(x) if float((x != 0).double().mean()) < _SPARSE_BELOW else x


def dropout(x: Tensor | SparseMatrix, p: float, training: bool) -> Tensor | SparseMatrix:
    """Zero entries at random with probability ``p`` in training, and scale up the others."""
    if isinstance(x, SparseMatrix):
        return x.with_value(torch.nn.functional.dropout(x.value, p, training))
    return torch.nn.functional.dropout(x, p, training)
