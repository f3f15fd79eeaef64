"""Attention over neighbours: float, fake-quantized and integer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mixq_rl import kernels
from mixq_rl.adjacency import AnyGraph
from mixq_rl.graph import Graph
from mixq_rl.metering import operation
from mixq_rl.nn import records
from mixq_rl.nn.bounds import check_aggregate, check_heads
from mixq_rl.nn.logits import IntegerLogits, Logits
from mixq_rl.nn.operator import Operator, Real, Symbol
from mixq_rl.nn.softmax import MEAN_BITS, IntegerSoftmax, numerators, row_sums, weighted_mean
from mixq_rl.nn.step import IntegerStep, Signature, check_columns, check_scale, count_entries
from mixq_rl.propagation import Propagation
from mixq_rl.quantization import (
    AnyRequantization,
    FakeQuantized,
    Granularity,
    LearnedQuantizer,
    PackedRows,
    QTensor,
    straight_round,
    substitute,
)
from mixq_rl.sparse import CSR
from mixq_rl.storage.artifacts import storable

__all__ = ["Attend", "IntegerAttend"]

_SELF_LOOPS = Propagation(self_loops="replace")


class Attend(Operator):
    r"""Attention: a sum over neighbours, weighted by the softmax of logits, for several heads.

    .. math::
        \alpha_{ij}^h &= \frac{\exp l_{ij}^h}{\sum_{k \in N(i) \cup \{i\}} \exp l_{ik}^h}

        X_i' &= \sigma\left(\mathop{\Vert}_h \sum_j \alpha_{ij}^h X_j^h + b\right),
        \text{ or the mean over heads instead of } \Vert

    On integers, the numerators of the softmax are a table of :math:`2^b` entries for logits of b bits. Its argument is
    the distance between a logit and the greatest logit of its row (:class:`~mixq_rl.nn.softmax.IntegerSoftmax`). They
    are the edge weights of an integer aggregation, whose sums are divided by the sums of the numerators: an integer
    division for each node, head and column, rounded half to even, with 14 bits behind the binary point.

    Components: those of the logits, the numerators, the aggregate.

    Args:
        logits: computes the logits l from the inputs.
        heads: number of heads.
        concat: whether the heads' results are concatenated, or averaged.
        names: names of the components of numerators and aggregate.
        bias_channels: length of b; None: no bias.
        dropout: dropout probability of the coefficients, in training only.
        relu: whether :math:`\sigma` is ReLU or the identity.

    Shapes:
        messages ``[nodes, heads * channels]``, and what else the logits take, to ``[nodes, heads * channels]``, or
        ``[nodes, channels]``.
    """

    gives = Granularity.ROW

    def __init__(
        self,
        logits: Logits,
        heads: int,
        *,
        concat: bool,
        names: tuple[str, str],
        bias_channels: int | None = None,
        dropout: float = 0.0,
        relu: bool = False,
    ) -> None:
        super().__init__()
        self.logits = logits
        self.propagation = _SELF_LOOPS
        self.heads = heads
        self.concat = concat
        self.relu = relu
        self.dropout = nn.Dropout(dropout)
        self.bias = None if bias_channels is None else nn.Parameter(torch.zeros(bias_channels))
        attention, aggregate = names
        self.attention_quantizer = LearnedQuantizer(attention, "attention", signed=False)
        self.aggregate_quantizer = LearnedQuantizer(aggregate, "aggregate", signed=not relu, affine=not relu)

    def reset_parameters(self) -> None:
        self.logits.reset_parameters()
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def real(self, inputs: Sequence[Real], graph: Graph | None) -> Real:
        message, csr = inputs[0], self._neighbours(graph)
        names = self._names(message.name)
        numerator = self.attention_quantizer(numerators(self.logits.real(inputs, csr), csr))
        attention = self.dropout(numerator / row_sums(numerator, csr).index_select(0, csr.row))
        with operation(lambda: records.float_aggregate(names, csr, message.dense), attention.device):
            aggregate = self._joined(_weighted_sum(attention, message.dense, csr))
            aggregate = aggregate if self.concat else aggregate / self.heads
            aggregate = aggregate if self.bias is None else aggregate + self.bias
            aggregate = aggregate.relu() if self.relu else aggregate
        return Real(self.aggregate_quantizer(aggregate), self.aggregate_quantizer.name)

    def fake_quantized(self, inputs: Sequence[FakeQuantized], graph: Graph | None) -> FakeQuantized:
        message, csr = inputs[0], self._neighbours(graph)
        own, dtype = self.attention_quantizer, message.values.dtype
        logit, codes = self.logits.fake_quantized(inputs, csr)
        numerator = numerators(logit, csr)
        own.follow(lambda: numerator)
        exact = IntegerSoftmax.from_quantizers(self.logits.quantizer.quantizer(), own.quantizer())(codes, csr)
        # The gradient passes where numerators are clamped: those of equal neighbours are all at the upper end. The
        # scale nearly cancels out, so that it has no useful gradient: it stays as it was calibrated.
        weights = substitute(numerator / own.scale.detach().to(dtype), exact.to(dtype))
        sums = _weighted_sum(self.dropout(weights), message.dense, csr)
        means = straight_round(sums * 2.0**MEAN_BITS / row_sums(weights, csr).view(-1, 1))
        return self.aggregate_quantizer.fake_requantize(
            self._joined(means), self._mean_scale(message.scale), bias=self.bias, protected=message.protected
        )

    def freeze(self, inputs: Sequence[Symbol]) -> Symbol:
        message = inputs[0]
        attention, aggregate = self.attention_quantizer.quantizer(), self.aggregate_quantizer
        scale = self._mean_scale(message.quantizer.scale)
        step = IntegerAttend(
            names=self._names(message.name),
            sources=tuple(x.index for x in inputs),
            propagation=self.propagation.evaluated,
            heads=self.heads,
            concat=self.concat,
            logits=self.logits.freeze(inputs),
            softmax=IntegerSoftmax.from_quantizers(self.logits.quantizer.quantizer(), attention),
            requantization=aggregate.requantization(scale, self.bias, None),
            scale=aggregate.scale.detach(),
        )
        return message.program.append(step, aggregate.quantizer(), aggregate.name)

    def _names(self, source: str) -> records.Names:
        return self.attention_quantizer.name, source, self.aggregate_quantizer.name

    def _mean_scale(self, message: Tensor) -> Tensor:
        """Return the scale of the weighted means, or of their sums over heads, from that of the messages."""
        return message * 2.0**-MEAN_BITS / (1 if self.concat else self.heads)

    def _neighbours(self, graph: Graph | None) -> CSR:
        assert graph is not None
        return graph.adjacency(self.propagation.at(self.training)).csr

    def _joined(self, sums: Tensor) -> Tensor:
        return _joined(sums, self.heads, self.concat)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, concat={self.concat}, relu={self.relu}"


def _weighted_sum(attention: Tensor, message: Tensor, csr: CSR) -> Tensor:
    """Return the sums of each node and head, ``[nodes * heads, channels]``."""
    heads = attention.shape[1]
    repeated, order = csr.repeated(heads)
    return repeated.matmul(attention.flatten()[order], message.reshape(message.shape[0] * heads, -1))


def _joined(sums: Tensor, heads: int, concat: bool) -> Tensor:
    """Return ``[nodes, heads * channels]``, or the heads' sum ``[nodes, channels]``."""
    by_head = sums.view(sums.shape[0] // heads, heads, sums.shape[1])
    return by_head.flatten(1) if concat else by_head.sum(dim=1, dtype=sums.dtype)


@storable
@dataclass(frozen=True)
class IntegerAttend(IntegerStep):
    """Integer step of :class:`Attend`.

    Attributes:
        names: names of the components: numerators, messages, aggregate.
        sources: the source of the messages, and what else the logits take.
        propagation: the edges that are attended to.
        heads: number of heads.
        concat: whether the heads' results are concatenated, or averaged.
        logits: computes the logits' integers.
        softmax: map from the logits to the numerators' integers.
        requantization: map from the weighted means, or their sums over heads, to the aggregate's integers.
        scale: scale of the result, float64 scalar.
    """

    names: tuple[str, str, str]
    sources: tuple[int, ...]
    propagation: Propagation
    heads: int
    concat: bool
    logits: IntegerLogits
    softmax: IntegerSoftmax
    requantization: AnyRequantization
    scale: Tensor

    @property
    def result(self) -> str:
        return self.names[2]

    @property
    def bits(self) -> Mapping[str, int]:
        attention, _, aggregate = self.names
        own = {attention: self.softmax.range.bits, aggregate: self.requantization.range.bits}
        return {**self.logits.bits, **own}

    @property
    def reads_neighbours(self) -> bool:
        return True

    @property
    def edge_copies(self) -> int:
        return self.heads

    @property
    def nbytes(self) -> int:
        return self.logits.nbytes

    @property
    def num_parameters(self) -> int:
        return self.logits.num_parameters + count_entries(self.requantization.bias)

    def infer(self, inputs: Sequence[Signature]) -> Signature:
        message = inputs[0]
        message.require(self.result, Granularity.TENSOR)
        if self.propagation.is_random or self.propagation.pooled or self.propagation.self_loops == "keep":
            raise ValueError(
                f"step {self.result!r} attends to other nodes than itself and its neighbours, or drops edges at random"
            )
        if any(x.pooled for x in inputs):
            raise ValueError(f"step {self.result!r} takes values of nodes, not of graphs")
        if message.columns is None or self.heads < 1 or message.columns % self.heads:
            raise ValueError(f"step {self.result!r} splits {message.columns} columns among {self.heads} heads")
        self.logits.check(self.result, inputs, self.heads)
        if self.softmax.logit_range != self.logits.range:
            raise ValueError(f"the softmax of step {self.result!r} takes other logits than {self.logits.range}")
        columns = message.columns if self.concat else message.columns // self.heads
        check_columns(self.result, columns, self.requantization.multiplier, self.requantization.bias)
        check_scale(self.result, self.scale)
        result = self.requantization
        return Signature(result.range, result.zero_point, columns, result.has_row)

    def check(self, graph: AnyGraph, inputs: Sequence[Signature]) -> None:
        message, csr = inputs[0], graph.adjacency(self.propagation).csr
        check_aggregate(self.result, csr, self.softmax.range, 0, message.range, message.zero_point)
        if not self.concat:
            check_heads(self.result, self.heads, message.range, message.zero_point)

    def prepare(self, graph: AnyGraph, inputs: Sequence[Signature]) -> CSR:
        self.check(graph, inputs)
        csr = graph.adjacency(self.propagation).csr
        csr.repeated(self.heads)
        return csr

    def __call__(self, inputs: Sequence[QTensor], prepared: CSR) -> QTensor:
        message = inputs[0]
        attention = self.softmax(self.logits(inputs, prepared), prepared)
        with operation(lambda: self._record(prepared, attention, message), attention.device):
            repeated, order = prepared.repeated(self.heads)
            sums = kernels.aggregate(
                repeated.rowptr,
                repeated.col,
                attention.flatten()[order],
                _by_head(message.payload, self.heads),
                x_zero_point=message.zero_point,
            )
            means = weighted_mean(sums, row_sums(attention.to(torch.int64), prepared).view(-1, 1))
            return self.requantization.quantized(_joined(means, self.heads, self.concat), self.scale)

    def _record(self, csr: CSR, attention: Tensor, message: QTensor) -> Any:
        bits, result = self.softmax.range.bits, self.requantization.range
        return records.integer_aggregate(self.names, csr, attention, bits, message.payload, result)


def _by_head(message: PackedRows, heads: int) -> PackedRows:
    """Return rows ``[nodes, heads * channels]`` as ``[nodes * heads, channels]``."""
    channels, rows = message.columns // heads, message.shape[0] * heads
    if channels * message.range.storage_bits % 8 == 0:
        return PackedRows(message.data.view(rows, message.range.row_bytes(channels)), channels, message.range)
    return PackedRows.pack(message.unpack().reshape(rows, channels), message.range)
