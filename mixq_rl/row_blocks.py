"""Graphs in blocks of rows, of which one at a time is in memory."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from mixq_rl.adjacency import Adjacency, degree_factor, normalized
from mixq_rl.edges import SortedEdges, sort_edges, sort_edges_by_torch
from mixq_rl.errors import InputError, InvalidGraphError
from mixq_rl.native import address, extension
from mixq_rl.propagation import Propagation
from mixq_rl.sparse import CSR, check_entries

__all__ = ["MOST_EDGES", "MOST_ROWS", "EdgeRows", "GraphBlock", "Rows"]

MOST_ROWS = 2**16
"""Number of rows in a block, unless it is given."""

MOST_EDGES = 2**22
"""Number of edges in a block of more than one row, unless it is given."""

_INDICES = 2**31


class Rows(Protocol):
    """A tensor, or an array in a file, of which slices of rows are read."""

    @property
    def shape(self) -> Sequence[int]: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def __getitem__(self, rows: slice, /) -> Tensor: ...


class _Read(NamedTuple):
    """Edges into a block of rows: int64 ``[rows + 1]``, int32 ``[edges]``, float64 ``[edges]`` or None."""

    rowptr: Tensor
    col: Tensor
    weight: Tensor | None


class EdgeRows:
    """Edges of a graph, sorted by target, of which blocks are read.

    Args:
        rowptr: int64 ``[nodes + 1]``: the edges into node i are ``rowptr[i]...rowptr[i + 1] - 1``.
        col: sources of the edges, int32 ``[edges]``, in ascending order for each target.
        weight: edge weights, floating point ``[edges]``; None: all 1.

    Raises:
        InvalidGraphError: for another dtype, or shapes that do not fit each other. What the tensors hold is checked as
            it is read.
    """

    def __init__(self, rowptr: Rows, col: Rows, weight: Rows | None = None) -> None:
        _check_form("rowptr", rowptr, torch.int64, "[nodes + 1]")
        _check_form("col", col, torch.int32, "[edges]")
        if weight is not None and (tuple(weight.shape) != tuple(col.shape) or not weight.dtype.is_floating_point):
            raise InvalidGraphError(
                f"edge_weight must be floating point of shape {list(col.shape)}, one for each edge, "
                f"not {weight.dtype} of shape {list(weight.shape)}"
            )
        if not 1 <= rowptr.shape[0] <= _INDICES:
            raise InvalidGraphError(f"rowptr has {rowptr.shape[0]} entries: it must have 1 to {_INDICES}")
        self.num_nodes, self.num_edges = rowptr.shape[0] - 1, col.shape[0]
        self.weighted = weight is not None
        self._rowptr, self._col, self._weight = rowptr, col, weight
        ends = [int(rowptr[place : place + 1]) for place in (0, self.num_nodes)]
        if ends != [0, self.num_edges]:
            raise InvalidGraphError(
                f"rowptr goes from {ends[0]} to {ends[1]}: it must go from 0 to the number of edges, {self.num_edges}"
            )
        self._factors: dict[Hashable, Tensor] = {}
        self._of_columns: dict[Hashable, dict[Hashable, Tensor]] = {}

    @classmethod
    def of(cls, edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None = None) -> "EdgeRows":
        """Return the edges of an ``edge_index``, int64 or int32 ``[2, edges]`` on the CPU, whose nodes were checked."""
        csr, weight, _ = sort_edges(edge_index, num_nodes, edge_weight, "keep", 1.0)
        return cls(csr.rowptr.long(), csr.col, weight)

    def unweighted(self) -> "EdgeRows":
        """Return the edges without weights."""
        return EdgeRows(self._rowptr, self._col) if self.weighted else self

    def blocks(self, most_rows: int = MOST_ROWS, most_edges: int = MOST_EDGES) -> Iterator[range]:
        """Yield the rows of each block, from the first node to the last.

        Args:
            most_rows: number of rows in a block.
            most_edges: number of edges in a block, unless a single row has more.
        """
        first = 0
        while first < self.num_nodes:
            bounds = self._bounds(range(first, min(first + most_rows, self.num_nodes)))
            last = int(torch.searchsorted(bounds, bounds[0] + most_edges, right=True)) - 1
            yield range(first, first + max(last, 1))
            first += max(last, 1)

    def rows(self, rows: range, propagation: Propagation) -> SortedEdges:
        """Return the edges into some nodes that a propagation sums over, on the CPU.

        Args:
            rows: the nodes.
            propagation: a propagation over neighbours that does not change the edges, apart from self-loops.

        Raises:
            InvalidGraphError: if what is read is no graph.
            InputError: for another propagation.
        """
        if propagation.pooled or propagation.transforms:
            raise InputError("a network that pools nodes or changes edges cannot be executed block by block")
        bounds = self._bounds(rows)
        begin, end = int(bounds[0]), int(bounds[-1])
        check_entries(end - begin + len(rows))
        weight = None
        if propagation.weighted and self._weight is not None:
            weight = _own(self._weight, begin, end).double()
            if not weight.isfinite().all():
                raise InvalidGraphError("edge_weight holds NaN or infinity: replace them")
        return _with_loops(_Read(bounds, _own(self._col, begin, end), weight), rows, self.num_nodes, propagation)

    def factor(self, propagation: Propagation, layer: str) -> Tensor | None:
        """Return :func:`~mixq_rl.adjacency.degree_factor` for all nodes, computed once."""
        if not propagation.by_degree:
            return None
        key = _key(propagation)
        if key not in self._factors:
            parts = [degree_factor(self.rows(rows, propagation), propagation, layer) for rows in self.blocks()]
            self._factors[key] = torch.cat([part for part in parts if part is not None])
        return self._factors[key]

    def of_columns(self, propagation: Propagation, device: torch.device) -> dict[Hashable, Tensor]:
        """Return what :class:`~mixq_rl.adjacency.Adjacency` keeps for all blocks of a propagation on a device."""
        return self._of_columns.setdefault((_key(propagation), device), {})

    def _bounds(self, rows: range) -> Tensor:
        bounds = _own(self._rowptr, rows.start, rows.stop + 1)
        if bounds[0] < 0 or bounds[-1] > self.num_edges or not (bounds.diff() >= 0).all():
            raise InvalidGraphError(
                f"rowptr does not ascend, from 0 to the number of edges, {self.num_edges}, between rows {rows.start} "
                f"and {rows.stop}"
            )
        return bounds


class GraphBlock:
    """Some rows of a graph, as a layer sums over their neighbours.

    Args:
        edges: edges of the graph.
        rows: the rows.
        device: device of the adjacencies.
    """

    def __init__(self, edges: EdgeRows, rows: range, device: torch.device) -> None:
        self._edges, self._rows, self._device = edges, rows, device
        self._adjacencies: dict[Propagation, Adjacency] = {}

    def adjacency(self, propagation: Propagation, layer: str = "") -> Adjacency:
        """Return the rows of the adjacency of a propagation; for arguments see :meth:`mixq_rl.Graph.adjacency`."""
        if propagation not in self._adjacencies:
            found, factor = self._edges.rows(self._rows, propagation), self._edges.factor(propagation, layer)
            of_rows = None if factor is None else factor[self._rows.start : self._rows.stop].to(self._device)
            self._adjacencies[propagation] = normalized(
                _moved(found, self._device),
                propagation,
                None if factor is None else factor.to(self._device),
                of_rows=of_rows,
                of_columns=self._edges.of_columns(propagation, self._device),
            )
        return self._adjacencies[propagation]


def _own(rows: Rows, begin: int, end: int) -> Tensor:
    """Return a slice that no other thread writes to."""
    part = rows[begin:end]
    return part.clone(memory_format=torch.contiguous_format) if isinstance(rows, Tensor) else part


def _check_form(name: str, rows: Rows, dtype: torch.dtype, shape: str) -> None:
    if rows.dtype != dtype or len(rows.shape) != 1:
        raise InvalidGraphError(f"{name} must be {dtype} of shape {shape}, not {rows.dtype} of {list(rows.shape)}")


def _key(propagation: Propagation) -> Hashable:
    return propagation.normalization, propagation.self_loops, propagation.loop_weight, propagation.weighted


def _moved(edges: SortedEdges, device: torch.device) -> SortedEdges:
    csr, weight, loops = edges
    csr = CSR(csr.rowptr.to(device), csr.col.to(device), csr.num_columns, csr.first_row)
    return SortedEdges(csr, None if weight is None else weight.to(device), loops.to(device))


def _with_loops(read: _Read, rows: range, num_nodes: int, propagation: Propagation) -> SortedEdges:
    """Return edges with the self-loops of a propagation, behind their likes."""
    native: Any = extension()
    added, replacing = propagation.self_loops != "keep", propagation.self_loops in ("replace", "remaining")
    if native is None:
        return _with_loops_by_torch(read, rows, num_nodes, propagation)
    rowptr, col = (
        torch.empty(len(rows) + 1, dtype=torch.int32),
        read.col.new_empty(read.col.numel() + added * len(rows)),
    )
    loops, own, weight = torch.empty(added * len(rows), dtype=torch.int64), None, None
    if read.weight is not None:
        own = read.weight.new_full((len(rows),), propagation.loop_weight)
        weight = read.weight.new_empty(col.numel())
    found = native.copy_rows(
        native.BlockRows(
            *(address(read.rowptr), address(read.col), address(read.weight)),
            *(len(rows), rows.start, num_nodes, read.col.numel()),
        ),
        native.Loops(added, replacing, address(own), own is not None and propagation.self_loops == "remaining"),
        native.Sorted(address(rowptr), address(col), address(weight), address(loops)),
        torch.get_num_threads(),
    )
    if found < 0:
        raise _missing(read.col, num_nodes)
    csr = CSR(rowptr, col[:found], num_nodes, rows.start)
    return SortedEdges(csr, None if weight is None else weight[:found], loops)


def _with_loops_by_torch(read: _Read, rows: range, num_nodes: int, propagation: Propagation) -> SortedEdges:
    """Do the same in torch, in a time that grows with the whole graph."""
    if read.col.numel() and not 0 <= int(read.col.min()) <= int(read.col.max()) < num_nodes:
        raise _missing(read.col, num_nodes)
    nodes = torch.arange(rows.start, rows.stop)
    edge_index = torch.stack([read.col.long(), nodes.repeat_interleave(read.rowptr.diff())])
    whole = sort_edges_by_torch(edge_index, num_nodes, read.weight, propagation.self_loops, propagation.loop_weight)
    rowptr = whole.csr.rowptr[rows.start : rows.stop + 1]
    begin, end = (int(rowptr[0]), int(rowptr[-1])) if len(rows) else (0, 0)
    csr = CSR(rowptr - begin, whole.csr.col[begin:end], num_nodes, rows.start)
    loops = whole.loops[rows.start : rows.stop] - begin if whole.loops.numel() else whole.loops
    return SortedEdges(csr, None if whole.weight is None else whole.weight[begin:end], loops)


def _missing(col: Tensor, num_nodes: int) -> InvalidGraphError:
    low, high = int(col.min()), int(col.max())
    return InvalidGraphError(
        f"col names node {low if low < 0 else high}, but the graph has nodes 0...{num_nodes - 1}: "
        f"x must have a row for every node"
    )
