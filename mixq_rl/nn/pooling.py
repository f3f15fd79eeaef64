"""Sum, mean and maximum over a graph's nodes, and maximum over neighbours: float, fake-quantized and integer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mixq_rl.adjacency import AnyGraph
from mixq_rl.graph import Graph
from mixq_rl.metering import operation
from mixq_rl.nn import records
from mixq_rl.nn.operator import Operator, Real, Symbol
from mixq_rl.nn.propagation import Propagate
from mixq_rl.nn.step import IntegerStep, Signature
from mixq_rl.propagation import Propagation
from mixq_rl.quantization import FakeQuantized, Granularity, IntegerRange, PackedRows, QTensor
from mixq_rl.sparse import CSR
from mixq_rl.storage.artifacts import storable

__all__ = ["IntegerMaxPool", "MaxPool", "mean_pool", "sum_pool"]

_POOL = Propagation(pooled=True)


def sum_pool(aggregate: str) -> Propagate:
    """Return an operator that sums over each graph's nodes; ``aggregate`` is the name of its component."""
    return Propagate(_POOL, adjacency=None, aggregate=aggregate)


def mean_pool(aggregate: str) -> Propagate:
    """Return an operator that averages over each graph's nodes; ``aggregate`` is the name of its component."""
    return Propagate(replace(_POOL, normalization="mean"), adjacency=None, aggregate=aggregate)


class MaxPool(Operator):
    r"""Maximum over each graph's nodes, or over each node's neighbours; 0 for a graph without nodes, or a node without
    neighbours.

    .. math::
        X'_g = \max_{i \in g} X_i \quad \text{or} \quad X'_i = \max_{j \in N(i)} X_j

    The source has one scale, so its integers can be compared directly. The result has the bits of its source and is not
    a component of its own.

    Args:
        propagation: the rows of the result, and the entries of each; edge weights and normalization have no effect.
            None: the nodes of each graph.

    Shapes:
        ``[nodes, features]`` to ``[graphs, features]``, or to ``[nodes, features]``.
    """

    def __init__(self, propagation: Propagation | None = None) -> None:
        super().__init__()
        self.propagation = propagation or _POOL

    def real(self, inputs: Sequence[Real], graph: Graph | None) -> Real:
        (x,), csr = inputs, self._entries(graph)
        with operation(lambda: records.float_aggregate(_names(x.name), csr, x.dense), x.dense.device):
            return Real(_maximum(x.dense, csr, 0), x.name)

    def fake_quantized(self, inputs: Sequence[FakeQuantized], graph: Graph | None) -> FakeQuantized:
        (x,) = inputs
        empty = _zero(x.range, x.zero_point) - x.zero_point
        protected = None if self.propagation.pooled else x.protected
        return replace(x, values=_maximum(x.dense, self._entries(graph), empty), protected=protected)

    def freeze(self, inputs: Sequence[Symbol]) -> Symbol:
        (x,) = inputs
        return x.program.append(IntegerMaxPool(x.name, (x.index,), self.propagation.evaluated), x.quantizer, x.name)

    def _entries(self, graph: Graph | None) -> CSR:
        assert graph is not None
        return graph.adjacency(self.propagation.at(self.training)).csr


def _names(source: str) -> records.Names:
    return records.EDGES, source, source


def _zero(offered: IntegerRange, zero_point: int) -> int:
    """Return the integer that represents 0, or the nearest one in the range."""
    return 1 if offered.is_sign else max(offered.minimum, min(offered.maximum, zero_point))


def _maximum(x: Tensor, entries: CSR, empty: int) -> Tensor:
    index = entries.row.unsqueeze(1).expand(-1, x.shape[1])
    result = torch.full((entries.num_rows, x.shape[1]), empty, dtype=x.dtype, device=x.device)
    return result.scatter_reduce(0, index, x[entries.col.long()], "amax", include_self=False)


@storable
@dataclass(frozen=True)
class IntegerMaxPool(IntegerStep):
    """Integer step of :class:`MaxPool`.

    Attributes:
        result: name of the component whose integers are compared.
        sources: the source of these integers.
        propagation: the rows of the result, and the entries of each.
    """

    result: str
    sources: tuple[int, ...]
    propagation: Propagation

    @property
    def bits(self) -> Mapping[str, int]:
        return {}

    @property
    def reads_neighbours(self) -> bool:
        return True

    def infer(self, inputs: Sequence[Signature]) -> Signature:
        (x,) = inputs
        x.require(self.result, Granularity.TENSOR)
        if x.pooled:
            raise ValueError(f"step {self.result!r} takes values of nodes, but what comes before is pooled")
        return replace(x, pooled=self.propagation.pooled)

    def prepare(self, graph: AnyGraph, inputs: Sequence[Signature]) -> CSR:
        return graph.adjacency(self.propagation).csr

    def __call__(self, inputs: Sequence[QTensor], prepared: CSR) -> QTensor:
        (x,), names = inputs, _names(self.result)
        offered = x.payload.range
        with operation(
            lambda: records.integer_aggregate(names, prepared, None, None, x.payload, offered), x.payload.data.device
        ):
            greatest = _maximum(x.values, prepared, _zero(x.range, x.zero_point))
            return QTensor(PackedRows.pack(greatest, offered), x.scale, x.zero_point)
