"""Graphs, and their adjacency matrices for each kind of propagation."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from mixq_rl.conditions import require
from mixq_rl.errors import InvalidGraphError
from mixq_rl.sparse import CSR, check_entries
from mixq_rl.storage.artifacts import storable

__all__ = ["Adjacency", "Graph", "Propagation", "check_edge_index"]

NORMALIZATIONS = ("none", "mean", "symmetric")
SELF_LOOPS = ("keep", "add", "replace", "remaining")


@storable
@dataclass(frozen=True)
class Propagation:
    r"""Kind of propagation of a layer: the edges that it sums over, and the normalization of the sums.

    Attributes:
        normalization: ``"none"``: sums; ``"mean"``: sums times :math:`1 / d_i`; ``"symmetric"``: entries
            :math:`d_i^{-1/2} w_{ij} d_j^{-1/2}` (Kipf and Welling, 2017). :math:`d_i` is the number of edges into node
            i, or the sum of their weights, including self-loops.
        self_loops: ``"keep"``: self-loops of the graph; ``"add"``: one more at every node; ``"replace"``: exactly one
            at every node; ``"remaining"``: those of the graph, and one at every node that has none.
        loop_weight: weight of the added self-loops if edges have weights; without edge weights it is 1, as in PyTorch
            Geometric.
        weighted: whether edge weights are used; without edge weights all are 1.
        pooled: whether each row is a graph that sums over its nodes, instead of a node that sums over its neighbours.

    Raises:
        ValueError: for an unknown normalization or treatment of self-loops, or a loop weight that is not finite.
    """

    normalization: str = "none"
    self_loops: str = "keep"
    loop_weight: float = 1.0
    weighted: bool = False
    pooled: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.loop_weight):
            raise ValueError(f"a loop weight of {self.loop_weight} is not a number")
        if self.normalization not in NORMALIZATIONS or self.self_loops not in SELF_LOOPS:
            raise ValueError(
                f"propagation {self.normalization!r} with self-loops {self.self_loops!r}: "
                f"known are {NORMALIZATIONS} with {SELF_LOOPS}"
            )


@dataclass(frozen=True)
class Adjacency:
    r"""A sparse matrix :math:`a_{ij} = r_i v_{ij}` in CSR form: row i holds the edges j -> i.

    Attributes:
        csr: sparsity pattern.
        value: entries v, which are quantized, float64 ``[edges]``.
        row_scale: row scales r, which the requantization of the sums includes, float64 ``[rows, 1]``; None: 1.
        loops: indices of the entries that are self-loops added by the propagation, int64.
    """

    csr: CSR
    value: Tensor
    row_scale: Tensor | None
    loops: Tensor

    @cached_property
    def quantized(self) -> WeakValueDictionary[Hashable, Any]:
        """Cache of quantized entries, by all that determines them. An entry lives as long as a step refers to it."""
        return WeakValueDictionary()

    @property
    def is_binary(self) -> bool:
        """Whether all entries v are 1."""
        return bool((self.value == 1).all())


class Graph:
    """One graph, or the disjoint union of several graphs.

    Args:
        edge_index: sources and targets of the edges, int64 ``[2, edges]``.
        num_nodes: number of nodes.
        edge_weight: edge weights, floating point ``[edges]``; None: all 1.
        batch: graph of each node, int64 ``[nodes]``; None: there is one graph.
        num_graphs: number of graphs; None: one more than the greatest number in ``batch``.

    Raises:
        InvalidGraphError: for an edge to a node that does not exist, or inconsistent arguments.
    """

    def __init__(
        self,
        edge_index: Tensor,
        num_nodes: int,
        *,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        num_graphs: int | None = None,
    ) -> None:
        check_edge_index(edge_index, num_nodes)
        if edge_weight is not None:
            _check_edge_weight(edge_weight, edge_index)
        if batch is not None and (batch.shape != (num_nodes,) or batch.dtype != torch.int64):
            raise InvalidGraphError(
                f"batch must be int64 of shape [{num_nodes}], not {batch.dtype} {tuple(batch.shape)}"
            )
        named = 1 if batch is None else _named_graphs(batch, num_graphs)
        self.edge_index = edge_index
        self.num_nodes = num_nodes
        self.edge_weight = edge_weight
        self.batch = batch
        self.num_graphs = named if num_graphs is None else num_graphs
        self._adjacencies: dict[Propagation, Adjacency] = {}

    def adjacency(self, propagation: Propagation) -> Adjacency:
        """Return the adjacency of a propagation, which is computed once."""
        if propagation not in self._adjacencies:
            made = self._pooling(propagation) if propagation.pooled else self._neighbours(propagation)
            self._adjacencies[propagation] = made
        return self._adjacencies[propagation]

    def to(self, device: torch.device | str) -> Self:
        """Return the graph on another device."""
        weight, batch = self.edge_weight, self.batch
        return type(self)(
            self.edge_index.to(device),
            self.num_nodes,
            edge_weight=None if weight is None else weight.to(device),
            batch=None if batch is None else batch.to(device),
            num_graphs=self.num_graphs,
        )

    def _neighbours(self, propagation: Propagation) -> Adjacency:
        weights = self.edge_weight if propagation.weighted else None
        source, target = self.edge_index.long()
        weight = source.new_ones(source.shape, dtype=torch.float64) if weights is None else weights.double()
        loop_weight = 1.0 if weights is None else propagation.loop_weight
        edges = _with_loops(source, target, weight, self.num_nodes, propagation.self_loops, loop_weight)
        source, target, weight, is_loop = edges
        # Keys of a stable sort; with fewer than 2^31 nodes they fit into int64.
        order = torch.argsort(target * self.num_nodes + source, stable=True)
        source, target, weight, is_loop = source[order], target[order], weight[order], is_loop[order]
        csr = _csr(target, self.num_nodes, source, self.num_nodes)
        value, row_scale = weight, None
        if propagation.normalization == "symmetric":
            degree = csr.rowptr.diff().double() if weights is None else _sums(weight, target, self.num_nodes)
            factor = _inverse_root(degree)
            factor = torch.where(factor.isfinite(), factor, 0.0)
            if not propagation.weighted:
                value, row_scale = factor[source], factor.unsqueeze(1)
            else:  # the inverse root of a tiny weighted degree exceeds fixed point, so the entry holds both factors
                value, row_scale = factor[source] * weight * factor[target], torch.ones_like(factor).unsqueeze(1)
        elif propagation.normalization == "mean":
            row_scale = _reciprocal(csr)
        return Adjacency(csr, value, row_scale, is_loop.nonzero()[:, 0])

    def _pooling(self, propagation: Propagation) -> Adjacency:
        device = self.edge_index.device
        batch = torch.zeros(self.num_nodes, dtype=torch.int64, device=device) if self.batch is None else self.batch
        order = torch.argsort(batch, stable=True)
        csr = _csr(batch[order], self.num_graphs, order, self.num_nodes)
        row_scale = _reciprocal(csr) if propagation.normalization == "mean" else None
        value = torch.ones(self.num_nodes, dtype=torch.float64, device=device)
        return Adjacency(csr, value, row_scale, batch.new_empty(0))


def _csr(target: Tensor, num_rows: int, source: Tensor, num_columns: int) -> CSR:
    """Return the sparsity pattern of edges that are sorted by target."""
    check_entries(source.numel())
    rowptr = torch.searchsorted(target, torch.arange(num_rows + 1, device=target.device), out_int32=True)
    return CSR(rowptr, source.to(torch.int32), num_columns)


def _sums(weight: Tensor, target: Tensor, num_nodes: int) -> Tensor:
    """Return the sum of each node's weights, added in the order of the edges on the CPU: a GPU has no fixed order."""
    degree = torch.zeros(num_nodes, dtype=torch.float64)
    return degree.index_add(0, target.cpu(), weight.cpu()).to(weight.device)


def _inverse_root(degree: Tensor) -> Tensor:
    """Return 1 over the square root, with both results rounded to the nearest, equal bit by bit on every device.

    On a CPU torch's ``rsqrt`` rounds this way, but ``sqrt``, which MKL computes, does not. On a GPU ``sqrt`` does, but
    ``rsqrt`` does not.
    """
    return degree.sqrt().reciprocal() if degree.is_cuda else degree.rsqrt()


def _reciprocal(csr: CSR) -> Tensor:
    return csr.rowptr.diff().clamp(min=1).double().reciprocal().unsqueeze(1)


def _with_loops(
    source: Tensor, target: Tensor, weight: Tensor, num_nodes: int, self_loops: str, loop_weight: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return sources, targets, weights, and whether each edge is an added self-loop."""
    if self_loops == "keep":
        return source, target, weight, torch.zeros_like(source, dtype=torch.bool)
    nodes = torch.arange(num_nodes, device=source.device)
    loops = torch.full((num_nodes,), loop_weight, dtype=torch.float64, device=source.device)
    if self_loops != "add":
        is_own = source == target
        own, others = is_own.nonzero()[:, 0], (~is_own).nonzero()[:, 0]
        if self_loops == "remaining":
            loops[source[own]] = weight[own]
        source, target, weight = source[others], target[others], weight[others]
    is_loop = torch.cat([torch.zeros_like(source, dtype=torch.bool), torch.ones_like(nodes, dtype=torch.bool)])
    return torch.cat([source, nodes]), torch.cat([target, nodes]), torch.cat([weight, loops]), is_loop


def _check_edge_weight(edge_weight: Tensor, edge_index: Tensor) -> None:
    if edge_weight.shape != edge_index.shape[1:] or not edge_weight.is_floating_point():
        raise InvalidGraphError(
            f"edge_weight must be floating point of shape [{edge_index.shape[1]}], one for each edge, "
            f"not {edge_weight.dtype} of shape {list(edge_weight.shape)}"
        )
    reason = "edge_weight holds NaN or infinity: replace them"
    require(edge_weight.isfinite().all(), reason, lambda: InvalidGraphError(reason))


def _named_graphs(batch: Tensor, num_graphs: int | None) -> int:
    """Return the number of graphs in a batch: one more than the greatest number of a graph."""
    if not batch.numel():
        return 0
    named: int = batch.max().item() + 1  # type: ignore[assignment]  # of integers
    known = named if num_graphs is None else num_graphs

    def error() -> InvalidGraphError:
        return InvalidGraphError(
            f"batch names graphs {int(batch.min())}...{named - 1} where there are {max(known, 0)}: "
            f"number the graphs 0, 1, 2, ..."
        )

    below = "batch names a graph below 0: number the graphs 0, 1, 2, ..."
    require((batch >= 0).all(), below, error)
    require(named > 0, below, error)  # torch does not infer this from the condition above
    require(named <= known, "batch names graphs that do not exist", error)
    return named


def check_edge_index(edge_index: Tensor, num_nodes: int) -> None:
    """Check shape, dtype and range of ``edge_index``.

    Raises:
        InvalidGraphError: if it is not an integer ``[2, edges]`` tensor of existing nodes.
    """
    if edge_index.dim() != 2 or edge_index.shape[0] != 2 or edge_index.dtype not in (torch.int64, torch.int32):
        raise InvalidGraphError(
            f"edge_index must be integers of shape [2, edges], not {edge_index.dtype} of shape {list(edge_index.shape)}"
            + (": transpose it" if edge_index.dim() == 2 and edge_index.shape[1] == 2 else "")
        )

    def error() -> InvalidGraphError:
        low, high = int(edge_index.min()), int(edge_index.max())
        return InvalidGraphError(
            f"edge_index names node {low if low < 0 else high}, but the graph has nodes 0...{num_nodes - 1}: "
            f"x must have a row for every node"
        )

    exists = (edge_index >= 0) & (edge_index < num_nodes)
    require(exists.all(), "edge_index names a node that x has no row for", error)
