"""Attention over neighbours: float, fake-quantized and integer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mixq_rl import kernels
from mixq_rl.graph import Graph, Propagation
from mixq_rl.metering import operation
from mixq_rl.nn import records
from mixq_rl.nn.activations import check_table, lookup_table, table_entries
from mixq_rl.nn.addition import centred
from mixq_rl.nn.bounds import check_aggregate, check_softmax
from mixq_rl.nn.combination import single_alignment
from mixq_rl.nn.operator import Operator, Real, Symbol
from mixq_rl.nn.softmax import IntegerSoftmax, neighbour_softmax
from mixq_rl.nn.step import IntegerStep, Signature, check_columns, check_scale, count_entries
from mixq_rl.quantization import (
    Alignment,
    AnyRequantization,
    FakeQuantized,
    Granularity,
    LearnedQuantizer,
    PackedRows,
    QTensor,
    substitute,
)
from mixq_rl.sparse import CSR
from mixq_rl.storage.artifacts import storable

__all__ = ["Attend", "IntegerAttend"]

_SELF_LOOPS = Propagation(self_loops="replace")


class Attend(Operator):
    r"""Attention: a sum over neighbours, weighted by the softmax of scores, for several heads.

    .. math::
        l_{ij}^h &= \mathrm{LeakyReLU}(s_j^h + t_i^h), \qquad
        \alpha_{ij}^h = \frac{\exp l_{ij}^h}{\sum_{k \in N(i) \cup \{i\}} \exp l_{ik}^h}

        X_i' &= \sigma\left(\mathop{\Vert}_h \sum_j \alpha_{ij}^h X_j^h + b\right),
        \text{ or the mean over heads instead of } \Vert

    On integers, the scores are added and requantized to the logits' b bits. LeakyReLU is a table of :math:`2^b`
    entries. So is the exponential, of the distance between a logit and the greatest logit of its row, with 15 bits
    behind the binary point. The division of the softmax is an integer division, rounded half to even
    (:class:`~mixq_rl.nn.softmax.IntegerSoftmax`). The coefficients' integers are the edge weights of an integer
    aggregation.

    Components: the logits, the coefficients, the aggregate.

    Args:
        heads: number of heads.
        concat: whether the heads' results are concatenated, or averaged.
        names: names of the three components.
        bias_channels: length of b; None: no bias.
        negative_slope: slope of LeakyReLU below 0.
        dropout: dropout probability of the coefficients, in training only.
        relu: whether :math:`\sigma` is ReLU or the identity.

    Shapes:
        messages ``[nodes, heads * channels]`` and scores ``[nodes, 2 * heads]`` (s of all heads, then t) to
        ``[nodes, heads * channels]``, or ``[nodes, channels]``.
    """

    gives = Granularity.ROW

    def __init__(
        self,
        heads: int,
        *,
        concat: bool,
        names: tuple[str, str, str],
        bias_channels: int | None = None,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        relu: bool = False,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.concat = concat
        self.relu = relu
        self.leaky = nn.LeakyReLU(negative_slope)
        self.dropout = nn.Dropout(dropout)
        self.bias = None if bias_channels is None else nn.Parameter(torch.zeros(bias_channels))
        logit, attention, aggregate = names
        self.logit_quantizer = LearnedQuantizer(logit, "attention", signed=True, affine=True)
        self.attention_quantizer = LearnedQuantizer(attention, "attention", signed=False)
        self.aggregate_quantizer = LearnedQuantizer(aggregate, "aggregate", signed=not relu, affine=not relu)

    def reset_parameters(self) -> None:
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def real(self, inputs: Sequence[Real], graph: Graph | None) -> Real:
        (message, score), csr = inputs, _neighbours(graph)
        names = (self.attention_quantizer.name, message.name, self.aggregate_quantizer.name)
        logit = self.logit_quantizer(_on_edges(score.dense, csr, self.heads))
        attention = self.dropout(self.attention_quantizer(neighbour_softmax(self.leaky(logit), csr)))
        with operation(lambda: records.float_aggregate(names, csr, message.dense), attention.device):
            aggregate = self._joined(_weighted_sum(attention, message.dense, csr))
            aggregate = aggregate if self.concat else aggregate / self.heads
            aggregate = aggregate if self.bias is None else aggregate + self.bias
            aggregate = aggregate.relu() if self.relu else aggregate
        return Real(self.aggregate_quantizer(aggregate), self.aggregate_quantizer.name)

    def fake_quantized(self, inputs: Sequence[FakeQuantized], graph: Graph | None) -> FakeQuantized:
        (message, score), csr = inputs, _neighbours(graph)
        dtype = score.values.dtype
        own = self.attention_quantizer
        logit = self.logit_quantizer.fake_align([_on_edges(score.dense, csr, self.heads)], [score.scale])
        logit_quantizer = self.logit_quantizer.quantizer()
        table = lookup_table(logit_quantizer, self.leaky, logit_quantizer)
        codes = (logit.dense.detach() + logit.zero_point).round()
        activated = table[table_entries(codes, logit.range)]
        exact_logit = (activated.to(dtype) - logit.zero_point) * logit.scale.detach().to(dtype)
        coefficients = neighbour_softmax(substitute(self.leaky(logit.to_real()), exact_logit), csr)
        own.follow(lambda: coefficients)
        real = coefficients / own.scale.to(dtype)
        softmax = IntegerSoftmax.from_quantizers(logit_quantizer, own.quantizer())
        exact = softmax(activated, csr).to(dtype)
        attention = FakeQuantized(substitute(real.clamp(0, own.range.maximum), exact), own.scale, own.range, 0)
        weights = self.dropout(attention.dense)
        scale = own.scale * message.scale / (1 if self.concat else self.heads)
        sums = self._joined(_weighted_sum(weights, message.dense, csr))
        return self.aggregate_quantizer.fake_requantize(sums, scale, bias=self.bias, protected=message.protected)

    def freeze(self, inputs: Sequence[Symbol]) -> Symbol:
        message, score = inputs
        logit, attention = self.logit_quantizer.quantizer(), self.attention_quantizer.quantizer()
        scale = attention.scale * message.quantizer.scale / (1 if self.concat else self.heads)
        aggregate = self.aggregate_quantizer
        step = IntegerAttend(
            names=(self.logit_quantizer.name, self.attention_quantizer.name, message.name, aggregate.name),
            sources=(message.index, score.index),
            heads=self.heads,
            concat=self.concat,
            logit=single_alignment(self.logit_quantizer, score),
            leaky=lookup_table(logit, self.leaky, logit),
            softmax=IntegerSoftmax.from_quantizers(logit, attention),
            requantization=aggregate.requantization(scale, self.bias, None),
            scale=aggregate.scale.detach(),
        )
        return message.program.append(step, aggregate.quantizer(), aggregate.name)

    def _joined(self, sums: Tensor) -> Tensor:
        return _joined(sums, self.heads, self.concat)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, concat={self.concat}, relu={self.relu}"


def _neighbours(graph: Graph | None) -> CSR:
    assert graph is not None
    return graph.adjacency(_SELF_LOOPS).csr


def _on_edges(score: Tensor, csr: CSR, heads: int) -> Tensor:
    """Return s of each edge's source plus t of its target, ``[edges, heads]``."""
    return score[:, :heads].index_select(0, csr.col.long()) + score[:, heads:].index_select(0, csr.row)


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
        names: names of the components: logits, coefficients, messages, aggregate.
        sources: the sources of messages and scores.
        heads: number of heads.
        concat: whether the heads' results are concatenated, or averaged.
        logit: map from the sums of two scores to the logits' integers.
        leaky: int8, LeakyReLU of each logit, from the least logit up.
        softmax: map from the logits to the coefficients' integers.
        requantization: map from the sums over neighbours to the aggregate's integers.
        scale: scale of the result, float64 scalar.
    """

    names: tuple[str, str, str, str]
    sources: tuple[int, ...]
    heads: int
    concat: bool
    logit: Alignment
    leaky: Tensor
    softmax: IntegerSoftmax
    requantization: AnyRequantization
    scale: Tensor

    @property
    def result(self) -> str:
        return self.names[3]

    @property
    def bits(self) -> Mapping[str, int]:
        logit, attention, _, aggregate = self.names
        ranges = (self.logit.range, self.softmax.range, self.requantization.range)
        return {name: offered.bits for name, offered in zip((logit, attention, aggregate), ranges, strict=True)}

    @property
    def edge_copies(self) -> int:
        return self.heads

    @property
    def num_parameters(self) -> int:
        return count_entries(self.requantization.bias)

    def infer(self, inputs: Sequence[Signature]) -> Signature:
        message, score = inputs
        score.require(self.result, Granularity.TENSOR, columns=2 * self.heads)
        message.require(self.result, Granularity.TENSOR)
        if message.pooled or score.pooled:
            raise ValueError(f"step {self.result!r} takes values of nodes, not of graphs")
        if message.columns is None or self.heads < 1 or message.columns % self.heads:
            raise ValueError(f"step {self.result!r} splits {message.columns} columns among {self.heads} heads")
        check_table(self.result, self.leaky, self.logit.range, self.logit.range)
        if len(self.logit.multipliers) != 1:
            raise ValueError(f"step {self.result!r} has {len(self.logit.multipliers)} multipliers of its scores")
        check_columns(self.result, self.heads, *self.logit.multipliers, self.logit.bias)
        if self.softmax.logit_range != self.logit.range:
            raise ValueError(f"the softmax of step {self.result!r} takes other logits than {self.logit.range}")
        columns = message.columns if self.concat else message.columns // self.heads
        check_columns(self.result, columns, self.requantization.multiplier, self.requantization.bias)
        check_scale(self.result, self.scale)
        result = self.requantization
        return Signature(result.range, result.zero_point, columns, result.has_row)

    def check(self, graph: Graph, inputs: Sequence[Signature]) -> None:
        message, csr = inputs[0], _neighbours(graph)
        heads, coefficients = 1 if self.concat else self.heads, self.softmax.range

        def totals() -> Tensor:
            return (coefficients.maximum * csr.rowptr.diff().long()).clamp(max=self.softmax.greatest_sum)

        check_softmax(self.result, csr)
        check_aggregate(
            self.result, csr, coefficients, 0, message.range, message.zero_point, heads=heads, totals=totals
        )

    def prepare(self, graph: Graph, inputs: Sequence[Signature]) -> CSR:
        self.check(graph, inputs)
        csr = _neighbours(graph)
        csr.repeated(self.heads)
        return csr

    def __call__(self, inputs: Sequence[QTensor], prepared: CSR) -> QTensor:
        message, score = inputs
        logit = self.logit([_on_edges(centred(score), prepared, self.heads)])
        attention = self.softmax(self.leaky[table_entries(logit.to(torch.int16), self.logit.range)], prepared)
        with operation(lambda: self._record(prepared, attention, message), attention.device):
            repeated, order = prepared.repeated(self.heads)
            sums = kernels.aggregate(
                repeated.rowptr,
                repeated.col,
                attention.flatten()[order],
                _by_head(message.payload, self.heads),
                x_zero_point=message.zero_point,
            )
            return self.requantization.quantized(_joined(sums, self.heads, self.concat), self.scale)

    def _record(self, csr: CSR, attention: Tensor, message: QTensor) -> Any:
        _, coefficient, source, aggregate = self.names
        return records.integer_aggregate(
            (coefficient, source, aggregate),
            csr,
            attention,
            self.softmax.range.bits,
            message.payload,
            self.requantization.range,
        )


def _by_head(message: PackedRows, heads: int) -> PackedRows:
    """Return rows ``[nodes, heads * channels]`` as ``[nodes * heads, channels]``."""
    channels, rows = message.columns // heads, message.shape[0] * heads
    if channels * message.range.storage_bits % 8 == 0:
        return PackedRows(message.data.view(rows, message.range.row_bytes(channels)), channels, message.range)
    return PackedRows.pack(message.unpack().reshape(rows, channels), message.range)
