"""Graphs as layers take them: for each way of summing over neighbours, an adjacency, made once."""

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
    r"""What a layer sums over, and how the sums are normalised.

    Attributes:
        normalization: ``"none"``: sums; ``"mean"``: :math:`1 / d_i` times them; ``"symmetric"``:
            :math:`d_i^{-1/2} w_{ij} d_j^{-1/2}` (Kipf and Welling, 2017). :math:`d_i` counts what node i sums over,
            or adds up its edge weights, self-loops included.
        self_loops: ``"keep"``: those of the graph; ``"add"``: one more at every node; ``"replace"``: exactly one at
            every node; ``"remaining"``: the graph's own, and one at every node that has none.
        loop_weight: of the self-loops put in, where edges have weights; 1 where they have none (as PyTorch Geometric
            has it).
        weighted: whether edge weights take part; of a graph that has none all are 1.
        pooled: whether the rows are graphs, which sum over their nodes, in place of nodes that sum over neighbours.

    Raises:
        ValueError: for another normalization or treatment of self-loops, or a loop weight that is not finite.
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
        csr: where the entries are.
        value: float64, ``[edges]``: v, the part that is quantized.
        row_scale: float64, ``[rows, 1]``: r, folded into the requantization of the sums; None: 1.
        loops: int64: which entries are the self-loops that the propagation put in.
    """

    csr: CSR
    value: Tensor
    row_scale: Tensor | None
    loops: Tensor

    @cached_property
    def quantized(self) -> WeakValueDictionary[Hashable, Any]:
        """What steps made of the entries, by what it depends on; kept for as long as a step holds it."""
        return WeakValueDictionary()

    @property
    def is_binary(self) -> bool:
        """Whether all entries v are 1."""
        return bool((self.value == 1).all())


class Graph:
    """The structure that a network computes on: one graph, or several side by side.

    Args:
        edge_index: int64, ``[2, edges]``: sources and targets.
        num_nodes: number of nodes.
        edge_weight: floating point, ``[edges]``, or None: all 1.
        batch: int64, ``[nodes]``: the graph that each node belongs to, or None: there is one.
        num_graphs: None: as many as ``batch`` names.

    Raises:
        InvalidGraphError: for an edge to a node that does not exist, or entries that do not fit each other.
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
        """Return the matrix of a propagation; it is made once."""
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
        # Keys of a stable sort: nodes are fewer than 2^31, so that their products fit.
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
            else:  # weighted degrees may be tiny, their roots beyond fixed point: the entry holds both
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
    """Return the places of edges that are sorted by target."""
    check_entries(source.numel())
    rowptr = torch.searchsorted(target, torch.arange(num_rows + 1, device=target.device), out_int32=True)
    return CSR(rowptr, source.to(torch.int32), num_columns)


def _sums(weight: Tensor, target: Tensor, num_nodes: int) -> Tensor:
    """Return the sum of each node's weights, in the order of the edges: on the CPU, since a GPU keeps to none."""
    degree = torch.zeros(num_nodes, dtype=torch.float64)
    return degree.index_add(0, target.cpu(), weight.cpu()).to(weight.device)


def _inverse_root(degree: Tensor) -> Tensor:
    """Return 1 over the square root, both rounded to the nearest: the same to the last bit on every device.

    On a CPU torch rounds so in ``rsqrt`` but not in ``sqrt``, which MKL computes; on a GPU it is the other way round.
    """
    return degree.sqrt().reciprocal() if degree.is_cuda else degree.rsqrt()


def _reciprocal(csr: CSR) -> Tensor:
    return csr.rowptr.diff().clamp(min=1).double().reciprocal().unsqueeze(1)


def _with_loops(
    source: Tensor, target: Tensor, weight: Tensor, num_nodes: int, self_loops: str, loop_weight: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return sources, targets, weights and whether the edge is a self-loop put in."""
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
    """Return how many graphs a batch names: one more than the greatest."""
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
    require(named > 0, below, error)  # which torch does not conclude from that
    require(named <= known, "batch names graphs that do not exist", error)
    return named


def check_edge_index(edge_index: Tensor, num_nodes: int) -> None:
    """Check form and range of ``edge_index``.

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
