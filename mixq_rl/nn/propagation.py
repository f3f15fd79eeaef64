"""Sums over neighbours and over the nodes of a graph: float, fake-quantized and integer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixq_rl import kernels
from mixq_rl.adjacency import Adjacency, AnyGraph
from mixq_rl.graph import Graph
from mixq_rl.metering import operation
from mixq_rl.nn import records
from mixq_rl.nn.adjacency import ROW_EXPONENT, IntegerAdjacency, fixed_row, integers_of
from mixq_rl.nn.bounds import any_zero_point, check_aggregate
from mixq_rl.nn.operator import Operator, Real, Symbol
from mixq_rl.nn.step import IntegerStep, Signature, check_columns, check_scale, count_entries
from mixq_rl.propagation import Propagation
from mixq_rl.quantization import (
    AnyRequantization,
    FakeQuantized,
    Granularity,
    LearnedQuantizer,
    QTensor,
    Quantizer,
)
from mixq_rl.storage.artifacts import storable

__all__ = ["IntegerPropagate", "Propagate", "has_entries"]


def has_entries(propagation: Propagation) -> bool:
    """Return whether the entries of a propagation's adjacency may differ from 1."""
    return propagation.by_degree or propagation.weighted


class Propagate(Operator):
    r"""Propagation: a sum over the neighbours of each row.

    .. math::
        X'_i = \sigma\left(r_i \sum_{j \in N(i)} v_{ij} X_j + b\right)

    On integers, with :math:`x \approx s_x (q - z)` and :math:`v_{ij} \approx s_a (\alpha_{ij} - z_a)`:
    :math:`\sum (\alpha - z_a)(q - z)`, requantized; r, the scales and the bias are folded into the requantization, and
    :math:`\sigma` (ReLU) is the lower end of an unsigned range.

    Components: the adjacency v, unless all its entries are 1 by definition; the aggregate.

    Args:
        propagation: the adjacency matrix and its normalisation.
        adjacency: name of the adjacency's component, or None if all v are 1.
        aggregate: name of the result's component.
        bias_channels: length of b; None: no bias.
        relu: whether :math:`\sigma` is ReLU or the identity.
        epsilon: the self-loops that the propagation adds get the weight 1 + epsilon; None: the propagation's weight.
        train_epsilon: whether epsilon is learned.

    Shapes:
        x ``[nodes, features]`` to ``[rows, features]``.
    """

    takes = Granularity.COLUMN
    gives = Granularity.ROW

    def __init__(
        self,
        propagation: Propagation,
        *,
        adjacency: str | None,
        aggregate: str,
        bias_channels: int | None = None,
        relu: bool = False,
        epsilon: float | None = None,
        train_epsilon: bool = False,
    ) -> None:
        super().__init__()
        self.propagation = propagation
        self.relu = relu
        self.adjacency_quantizer = None if adjacency is None else LearnedQuantizer(adjacency, "adjacency", signed=None)
        self.aggregate_quantizer = LearnedQuantizer(aggregate, "aggregate", signed=not relu, affine=not relu)
        self.bias = None if bias_channels is None else nn.Parameter(torch.zeros(bias_channels))
        self.epsilon: Tensor | None
        self._initial_epsilon = epsilon
        self.register_parameter("epsilon", None)
        if epsilon is not None:
            self.epsilon = nn.Parameter(torch.tensor([float(epsilon)]), requires_grad=train_epsilon)

    def reset_parameters(self) -> None:
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        if self.epsilon is not None and self._initial_epsilon is not None:
            nn.init.constant_(self.epsilon, self._initial_epsilon)

    def value(self, adjacency: Adjacency) -> Tensor:
        """Return the entries v, float64 ``[edges]``, with gradient to epsilon."""
        if self.epsilon is None:
            return adjacency.value
        step = self.epsilon.double().expand(adjacency.loops.numel())
        return adjacency.value.index_add(0, adjacency.loops, step)

    def real(self, inputs: Sequence[Real], graph: Graph | None) -> Real:
        (x,), adjacency = inputs, self._adjacency(graph)
        message = x.dense
        value = self.value(adjacency)
        if self.adjacency_quantizer is not None:
            value = self.adjacency_quantizer(value)
        names = self._names(x.name)
        with operation(lambda: records.float_aggregate(names, adjacency.csr, message), message.device):
            aggregate = adjacency.csr.matmul(value.to(message.dtype), message)
            if adjacency.row_scale is not None:
                aggregate = aggregate * adjacency.row_scale.to(message.dtype)
            aggregate = aggregate if self.bias is None else aggregate + self.bias
            aggregate = aggregate.relu() if self.relu else aggregate
        return Real(self.aggregate_quantizer(aggregate), self.aggregate_quantizer.name)

    def fake_quantized(self, inputs: Sequence[FakeQuantized], graph: Graph | None) -> FakeQuantized:
        (x,), adjacency = inputs, self._adjacency(graph)
        message, value, scale = x.dense, self.value(adjacency).to(x.values.dtype), x.scale
        if self.adjacency_quantizer is not None:
            alpha = self.adjacency_quantizer.fake_quantize(value)
            value, scale = alpha.dense, alpha.scale * scale
        protected = None if self.propagation.pooled else x.protected
        return self.aggregate_quantizer.fake_requantize(
            adjacency.csr.matmul(value, message), scale, bias=self.bias, row=fixed_row(adjacency), protected=protected
        )

    def freeze(self, inputs: Sequence[Symbol]) -> Symbol:
        (x,) = inputs
        quantizer = None if self.adjacency_quantizer is None else self.adjacency_quantizer.quantizer()
        scale = x.quantizer.scale if quantizer is None else quantizer.scale * x.quantizer.scale
        row_exponent = None if self.propagation.normalization == "none" else ROW_EXPONENT
        step = IntegerPropagate(
            names=self._names(x.name),
            sources=(x.index,),
            propagation=self.propagation.evaluated,
            epsilon=None if self.epsilon is None else self.epsilon.detach().double(),
            adjacency=quantizer,
            requantization=self.aggregate_quantizer.requantization(scale, self.bias, row_exponent),
            scale=self.aggregate_quantizer.scale.detach(),
        )
        return x.program.append(step, self.aggregate_quantizer.quantizer(), self.aggregate_quantizer.name)

    def _adjacency(self, graph: Graph | None) -> Adjacency:
        assert graph is not None
        return graph.adjacency(self.propagation.at(self.training), self.aggregate_quantizer.name)

    def _names(self, source: str) -> records.Names:
        adjacency = records.EDGES if self.adjacency_quantizer is None else self.adjacency_quantizer.name
        return adjacency, source, self.aggregate_quantizer.name

    def extra_repr(self) -> str:
        return f"{self.propagation}, bias={self.bias is not None}, relu={self.relu}"


def _is_one_number(epsilon: Tensor) -> bool:
    return epsilon.shape == (1,) and epsilon.dtype == torch.float64 and bool(epsilon.isfinite())


@storable
@dataclass(frozen=True)
class IntegerPropagate(IntegerStep):
    """Integer step of :class:`Propagate`.

    Attributes:
        names: names of the components: adjacency, messages, aggregate.
        sources: the source of the messages.
        propagation: the adjacency matrix and its normalisation.
        epsilon: float64 ``[1]``, added to the weight of the self-loops that the propagation adds, or None.
        adjacency: quantizer of the adjacency of a graph; None: all entries are 1.
        requantization: map from the sums over neighbours to the aggregate's integers.
        scale: scale of the result, float64 scalar.
    """

    names: tuple[str, str, str]
    sources: tuple[int, ...]
    propagation: Propagation
    epsilon: Tensor | None
    adjacency: Quantizer | None
    requantization: AnyRequantization
    scale: Tensor

    @property
    def result(self) -> str:
        return self.names[2]

    @property
    def bits(self) -> Mapping[str, int]:
        adjacency = {} if self.adjacency is None else {self.names[0]: self.adjacency.range.bits}
        return {**adjacency, self.names[2]: self.requantization.range.bits}

    @property
    def reads_neighbours(self) -> bool:
        return True

    @property
    def takes_edge_weight(self) -> bool:
        return self.propagation.takes_edge_weight

    @property
    def num_parameters(self) -> int:
        return count_entries(self.epsilon, self.requantization.bias)

    def infer(self, inputs: Sequence[Signature]) -> Signature:
        (x,) = inputs
        x.require(self.result, Granularity.COLUMN)
        if self.propagation.is_random:
            raise ValueError(f"step {self.result!r} drops edges at random, which belongs to training")
        if x.pooled:
            raise ValueError(f"step {self.result!r} sums over nodes, but what comes before is pooled")
        columns = check_columns(self.result, x.columns, self.requantization.multiplier, self.requantization.bias)
        check_scale(self.result, self.scale)
        self.requantization.check_rows(self.propagation.normalization != "none")
        if self.adjacency is not None:
            check_scale(self.names[0], self.adjacency.scale)
        if self.epsilon is not None and not _is_one_number(self.epsilon):
            raise ValueError(f"epsilon of step {self.result!r} is not a single number in float64")
        result = self.requantization
        return Signature(result.range, result.zero_point, columns, result.has_row, pooled=self.propagation.pooled)

    def check(self, graph: AnyGraph, inputs: Sequence[Signature]) -> None:
        (x,), adjacency = inputs, self._adjacency(graph)
        messages = x.range, any_zero_point(x.range, x.zero_point)
        check_aggregate(self.result, adjacency.csr, *integers_of(self.adjacency), *messages)

    def prepare(self, graph: AnyGraph, inputs: Sequence[Signature]) -> IntegerAdjacency:
        (x,), adjacency = inputs, self._adjacency(graph)
        made = IntegerAdjacency.of(adjacency, self.adjacency, self.epsilon, self.result)
        check_aggregate(
            self.result, adjacency.csr, *integers_of(self.adjacency), x.range, x.zero_point, totals=lambda: made.totals
        )
        return made

    def _adjacency(self, graph: AnyGraph) -> Adjacency:
        return graph.adjacency(self.propagation, self.result)

    def call(self, inputs: Sequence[Signature], prepared: IntegerAdjacency) -> kernels.Call | None:
        (x,), uniform, csr = inputs, self.requantization.uniform, prepared.csr
        if uniform is None:
            return None
        zero_point = 0 if self.adjacency is None else self.adjacency.zero_point
        edges = csr.rowptr, csr.col, prepared.weight, zero_point
        return kernels.AggregateCall(self.sources[0], *edges, uniform, x.zero_point, prepared.row)

    def __call__(self, inputs: Sequence[QTensor], prepared: IntegerAdjacency) -> QTensor:
        (x,), requantization = inputs, self.requantization
        bits: int | None = None
        zero_point = 0
        if self.adjacency is not None:
            bits, zero_point = self.adjacency.range.bits, self.adjacency.zero_point
        csr = prepared.csr
        edges = (csr.rowptr, csr.col, prepared.weight, x.payload)
        with operation(
            lambda: records.integer_aggregate(self.names, csr, prepared.weight, bits, x.payload, requantization.range),
            x.payload.data.device,
        ):
            uniform = requantization.uniform
            if uniform is None:
                sums = kernels.aggregate(*edges, weight_zero_point=zero_point, x_zero_point=x.zero_point)
                return requantization.quantized(sums, self.scale, prepared.row)
            aggregate = kernels.aggregate_requantize(
                *edges,
                uniform,
                weight_zero_point=zero_point,
                x_zero_point=x.zero_point,
                row=prepared.row,
            )
        return QTensor(aggregate, self.scale, requantization.zero_point)
