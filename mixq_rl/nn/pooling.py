"""Pooling of a graph's nodes: sum, mean and maximum in float, fake-quantized and integer arithmetic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mixq_rl.graph import Graph, Propagation
from mixq_rl.nn.operator import Operator, Real, Symbol
from mixq_rl.nn.propagation import Propagate
from mixq_rl.nn.step import IntegerStep, Signature
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
    r"""Maximum over each graph's nodes: :math:`X'_g = \max_{i \in g} X_i`; 0 for a graph without nodes.

    The source has one scale, so its integers can be compared directly. The result has the bits of its source and is not
    a component of its own.

    Shapes:
        ``[nodes, features]`` to ``[graphs, features]``.
    """

    def real(self, inputs: Sequence[Real], graph: Graph | None) -> Real:
        (x,) = inputs
        return Real(_maximum(x.dense, _membership(graph), 0), x.name)

    def fake_quantized(self, inputs: Sequence[FakeQuantized], graph: Graph | None) -> FakeQuantized:
        (x,) = inputs
        empty = _zero(x.range, x.zero_point) - x.zero_point
        return replace(x, values=_maximum(x.dense, _membership(graph), empty), protected=None)

    def freeze(self, inputs: Sequence[Symbol]) -> Symbol:
        (x,) = inputs
        return x.program.append(IntegerMaxPool(x.name, (x.index,)), x.quantizer, x.name)


def _membership(graph: Graph | None) -> CSR:
    assert graph is not None
    return graph.adjacency(_POOL).csr


def _zero(offered: IntegerRange, zero_point: int) -> int:
    """Return the integer that represents 0, or the nearest one in the range."""
    return 1 if offered.is_sign else max(offered.minimum, min(offered.maximum, zero_point))


def _maximum(x: Tensor, membership: CSR, empty: int) -> Tensor:
    index = membership.row.unsqueeze(1).expand(-1, x.shape[1])
    result = torch.full((membership.num_rows, x.shape[1]), empty, dtype=x.dtype, device=x.device)
    return result.scatter_reduce(0, index, x[membership.col.long()], "amax", include_self=False)


@storable
@dataclass(frozen=True)
class IntegerMaxPool(IntegerStep):
    """Integer step of :class:`MaxPool`.

    Attributes:
        result: name of the component whose integers are compared.
        sources: the source of these integers.
    """

    result: str
    sources: tuple[int, ...]

    @property
    def bits(self) -> Mapping[str, int]:
        return {}

    def infer(self, inputs: Sequence[Signature]) -> Signature:
        (x,) = inputs
        x.require(self.result, Granularity.TENSOR)
        if x.pooled:
            raise ValueError(f"step {self.result!r} pools nodes, but what comes before is pooled")
        return replace(x, pooled=True)

    def prepare(self, graph: Graph, inputs: Sequence[Signature]) -> CSR:
        return graph.adjacency(_POOL).csr

    def __call__(self, inputs: Sequence[QTensor], prepared: CSR) -> QTensor:
        (x,) = inputs
        pooled = _maximum(x.values, prepared, _zero(x.range, x.zero_point))
        return QTensor(PackedRows.pack(pooled, x.payload.range), x.scale, x.zero_point)
