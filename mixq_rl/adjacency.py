"""Adjacency matrices that layers sum over."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from mixq_rl.edges import SortedEdges, check_degree, gather, inverse_root, row_sums, scaled_entries
from mixq_rl.propagation import Propagation
from mixq_rl.sparse import CSR

__all__ = ["Adjacency", "AnyGraph", "degree_factor", "normalized", "row_scale"]


@dataclass(frozen=True)
class Adjacency:
    r"""A sparse matrix :math:`a_{ij} = r_i v_{ij}` in CSR form: row i holds the edges j -> i.

    Attributes:
        csr: sparsity pattern.
        loops: indices of the entries that are self-loops added by the propagation, int64, in the order of their nodes.
        weight: entries v, which are quantized, float64 ``[edges]``; None: all those of a column are equal.
        factor: the entries v of each column, float64 ``[columns]``, if ``weight`` is None; None: all 1.
        row_scale: row scales r, which the requantization of the sums includes, float64 ``[rows, 1]``; None: 1.
        row_bound: bound of the row scales; more than 1 only in a :class:`~mixq_rl.graph_part.GraphPart`.
        of_columns: what keyed functions made of ``factor``; blocks of rows of one matrix share it.
    """

    csr: CSR
    loops: Tensor
    weight: Tensor | None = None
    factor: Tensor | None = None
    row_scale: Tensor | None = None
    row_bound: float = 1.0
    of_columns: dict[Hashable, Tensor] = field(default_factory=dict)

    @cached_property
    def quantized(self) -> WeakValueDictionary[Hashable, Any]:
        """Cache of quantized entries, by all that determines them. An entry lives as long as a step refers to it."""
        return WeakValueDictionary()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "quantized"}  # a copy has its own

    @cached_property
    def value(self) -> Tensor:
        """Entries v, float64 ``[edges]``."""
        return self.map(lambda value: value)

    def map(self, function: Callable[[Tensor], Tensor], key: Hashable = None) -> Tensor:
        """Return a function of each entry v, ``[edges]``, computed once for entries that are known to be equal.

        Args:
            function: the function.
            key: identity of the function, if its results for columns are to be kept for other blocks of rows.
        """
        if self.weight is not None:
            return function(self.weight)
        if self.factor is not None:
            made = self.of_columns.get(key)
            if made is None:
                made = function(self.factor)
                if key is not None:
                    self.of_columns[key] = made
            return gather(made, self.csr.col)
        one = torch.ones(1, dtype=torch.float64, device=self.csr.col.device)
        return function(one).repeat(self.csr.col.numel())

    def entries(self, index: Tensor) -> Tensor:
        """Return some entries v, float64, by their int64 indices."""
        if self.weight is not None:
            return self.weight[index]
        columns = self.csr.col[index]
        return torch.ones_like(columns, dtype=torch.float64) if self.factor is None else self.factor[columns]

    @property
    def is_binary(self) -> bool:
        """Whether all entries v are 1."""
        return bool((self.value == 1).all())


class AnyGraph(Protocol):
    """A graph, or some of its rows: whatever layers sum over."""

    def adjacency(self, propagation: Propagation, layer: str = "") -> Adjacency:
        """Return the adjacency of a propagation; ``layer`` is the name of the layer that asks, for messages."""


def degree_factor(edges: SortedEdges, propagation: Propagation, layer: str) -> Tensor | None:
    """Return the factor of each row by which a propagation normalizes both ends of its edges.

    Args:
        edges: the edges that the propagation sums over.
        propagation: the propagation.
        layer: name of the layer, for the message.

    Returns:
        float64 ``[rows]``; None: the propagation has no such factors.

    Raises:
        InvalidGraphError: for a normalization by a negative degree.
    """
    csr, weight, _ = edges
    if not propagation.by_degree:
        return None
    if weight is None:
        degree = csr.rowptr.diff().double()
    elif propagation.normalization == "absolute":
        degree = row_sums(edges._replace(weight=weight.abs()))
    else:
        degree = row_sums(edges)
        check_degree(degree, layer, csr.first_row)
    factor = inverse_root(degree)
    return torch.where(factor.isfinite(), factor, 0.0)


def normalized(
    edges: SortedEdges,
    propagation: Propagation,
    factor: Tensor | None,
    *,
    of_rows: Tensor | None = None,
    of_columns: dict[Hashable, Tensor] | None = None,
) -> Adjacency:
    """Return the adjacency matrix of a propagation.

    Args:
        edges: edges that the propagation sums over, a result of :func:`sort_edges` that nobody else knows yet.
        propagation: the propagation.
        factor: result of :func:`degree_factor` for all nodes.
        of_rows: its part for the rows, if they are a block; None: they are all.
        of_columns: as in :class:`Adjacency`; None: that of no other matrix.
    """
    csr, weight, loops = edges
    kept = {} if of_columns is None else of_columns
    if factor is None:
        return Adjacency(csr, loops, weight=weight, row_scale=row_scale(csr, propagation.normalization))
    row_factor = factor if of_rows is None else of_rows
    if not propagation.weighted:
        return Adjacency(csr, loops, factor=factor, row_scale=row_factor.unsqueeze(1), of_columns=kept)
    # The inverse root of a tiny weighted degree exceeds fixed point, so the entry holds both factors.
    one = torch.ones_like(row_factor).unsqueeze(1)
    return Adjacency(csr, loops, weight=scaled_entries(edges, factor), row_scale=one)


def row_scale(csr: CSR, normalization: str) -> Tensor | None:
    """Return the scales of rows for a normalization by their numbers of entries, float64 ``[rows, 1]``; None: all 1.

    A row without entries counts as one with a single entry.

    Args:
        csr: sparsity pattern.
        normalization: ``"none"``, ``"mean"`` or ``"root"``; see :class:`~mixq_rl.propagation.Propagation`.
    """
    if normalization == "none":
        return None
    size = csr.rowptr.diff().clamp(min=1).double()
    return (inverse_root(size) if normalization == "root" else size.reciprocal()).unsqueeze(1)
