"""Graph attention layer whose scores depend on both nodes of an edge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mixq_rl.graph import Graph
from mixq_rl.metering import FLOAT_BITS, OpRecord, operation
from mixq_rl.nn.activations import check_table, lookup_table, table_entries
from mixq_rl.nn.addition import centred, check_alignment
from mixq_rl.nn.attention import Attend
from mixq_rl.nn.bounds import check_linear
from mixq_rl.nn.linear import Linear, check_weight
from mixq_rl.nn.logits import IntegerLogits, Logits, activated
from mixq_rl.nn.operator import Real, Symbol, Value
from mixq_rl.nn.step import Signature, check_columns
from mixq_rl.quantization import (
    Alignment,
    FakeQuantized,
    Granularity,
    IntegerRange,
    LearnedQuantizer,
    QTensor,
    Requantization,
    substitute,
)
from mixq_rl.sparse import CSR
from mixq_rl.storage.artifacts import storable

__all__ = ["GATv2Conv", "IntegerPairLogits", "PairLogits"]


class GATv2Conv(nn.Module):
    r"""Graph attention layer of Brody et al. (2022), with a bit-width for each of its parts.

    .. math::
        l_{ij}^h = a^h \cdot \mathrm{LeakyReLU}(X_j W + b_l + X_i W_t + b_t)^h, \quad
        \alpha_{ij}^h = \mathrm{softmax}_j\, l_{ij}^h, \quad
        X'_i = \sigma\left(\mathop{\Vert}_h \sum_j \alpha_{ij}^h (X_j W + b_l)^h + b\right)

    Sums run over the neighbours and the node itself. The integer network computes the attention on integers only; see
    :class:`PairLogits` and :class:`~mixq_rl.nn.attention.Attend`.

    Components: ``weight``, ``message`` (X W + b_l), unless the weights are shared ``target_weight`` and ``target``
    (X W_t + b_t), ``pair`` (the sums on edges), ``attention_weight`` (a), ``logit``, ``attention`` (:math:`\alpha`),
    ``aggregate``.

    Args:
        in_channels: number of features of a node.
        out_channels: number of result columns of each head.
        name: name of the layer; its components are called ``name.weight`` and so on.
        heads: number of heads.
        concat: whether the heads' results are concatenated, or averaged.
        negative_slope: slope of LeakyReLU below 0.
        dropout: dropout probability of the coefficients, in training only.
        share_weights: whether :math:`W_t` and :math:`b_t` are W and :math:`b_l`.
        relu: whether :math:`\sigma` is ReLU or the identity.
        bias: whether there are biases b, :math:`b_l` and :math:`b_t`.

    Shapes:
        x ``[nodes, in_channels]`` to ``[nodes, heads * out_channels]``, or ``[nodes, out_channels]``.
    """

    takes = Granularity.ROW

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        name: str,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        share_weights: bool = False,
        relu: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        columns = heads * out_channels
        names = (f"{name}.weight", f"{name}.message")
        self.linear = Linear(in_channels, columns, names=names, kind="message", bias=bias)
        self.target: Linear | None = None
        if not share_weights:
            names = (f"{name}.target_weight", f"{name}.target")
            self.target = Linear(in_channels, columns, names=names, kind="message", bias=bias)
        names_of_logits = (f"{name}.pair", f"{name}.attention_weight", f"{name}.logit")
        bias_channels = columns if concat else out_channels
        self.attend = Attend(
            PairLogits(heads, out_channels, names=names_of_logits, negative_slope=negative_slope),
            heads,
            concat=concat,
            names=(f"{name}.attention", f"{name}.aggregate"),
            bias_channels=bias_channels if bias else None,
            dropout=dropout,
            relu=relu,
        )

    def reset_parameters(self) -> None:
        self.linear.reset_parameters()
        if self.target is not None:
            self.target.reset_parameters()
        self.attend.reset_parameters()

    def forward(self, x: Value, graph: Graph | None = None) -> Any:
        """Compute in the arithmetic of ``x``."""
        message = self.linear(x)
        return self.attend(message, message if self.target is None else self.target(x), graph=graph)


class PairLogits(Logits):
    r"""Logits of pairs of nodes: :math:`l_{ij}^h = a^h \cdot \mathrm{LeakyReLU}(X_j + Y_i)^h`.

    On integers, the two rows of an edge are brought to one scale, added and rounded to b bits. LeakyReLU is a table of
    :math:`2^b` entries. The product with a is an int32 sum, which is requantized to the logits' bits.

    Components: the sums of pairs, the vectors a of all heads (a scale for each), the logits.

    Args:
        heads: number of heads.
        channels: number of columns of each head.
        names: names of the three components.
        negative_slope: slope of LeakyReLU below 0.

    Shapes:
        X and Y ``[nodes, heads * channels]`` to ``[edges, heads]``.
    """

    def __init__(self, heads: int, channels: int, *, names: tuple[str, str, str], negative_slope: float = 0.2) -> None:
        super().__init__()
        self.leaky = nn.LeakyReLU(negative_slope)
        self.weight = nn.Parameter(torch.empty(channels, heads))
        pair, weight, logit = names
        self.pair_quantizer = LearnedQuantizer(pair, "attention", signed=True, affine=True)
        self.weight_quantizer = LearnedQuantizer(weight, "weight", signed=True, granularity=Granularity.COLUMN)
        self.quantizer = LearnedQuantizer(logit, "attention", signed=True, affine=True)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = (6.0 / (self.weight.shape[0] + 1)) ** 0.5  # Glorot's for each vector
        nn.init.uniform_(self.weight, -bound, bound)

    def real(self, inputs: Sequence[Real], csr: CSR) -> Tensor:
        source, target = inputs
        pairs = self.pair_quantizer(sum(_on_edges(source.dense, target.dense, csr)))
        weight = self.weight_quantizer(self.weight)
        with operation(lambda: _float_record(self._names, csr, weight), weight.device):
            logit = _products(self.leaky(pairs), weight)
        return self.quantizer(logit)

    def fake_quantized(self, inputs: Sequence[FakeQuantized], csr: CSR) -> tuple[Tensor, Tensor]:
        source, target = inputs
        dtype = source.values.dtype
        pairs = self.pair_quantizer.fake_align(_on_edges(source.dense, target.dense, csr), [source.scale, target.scale])
        exact = activated(pairs, self.pair_quantizer, self.leaky).to(dtype) - pairs.zero_point
        steps = substitute(self.leaky(pairs.to_real()) / pairs.scale.to(dtype), exact)
        weight = self.weight_quantizer.fake_quantize(self.weight)
        logit = self.quantizer.fake_requantize(_products(steps, weight.dense), pairs.scale * weight.scale)
        return logit.to_real(), (logit.dense.detach() + logit.zero_point).round()

    def freeze(self, inputs: Sequence[Symbol]) -> "IntegerPairLogits":
        source, target = inputs
        own = self.pair_quantizer.quantizer()
        alignment = self.pair_quantizer.alignment([source.quantizer.scale, target.quantizer.scale], None).uniform
        weight = self.weight_quantizer.quantizer().quantize(self.weight.detach())
        requantization = self.quantizer.requantization(own.scale * weight.scale, None, None).uniform
        assert alignment is not None
        assert requantization is not None
        return IntegerPairLogits(self._names, alignment, lookup_table(own, self.leaky, own), weight, requantization)

    @property
    def _names(self) -> tuple[str, str, str]:
        return self.pair_quantizer.name, self.weight_quantizer.name, self.quantizer.name


def _on_edges(source: Tensor, target: Tensor, csr: CSR) -> list[Tensor]:
    """Return the rows of the sources and of the targets of the edges, ``[edges, columns]`` each."""
    return [source.index_select(0, csr.col.long()), target.index_select(0, csr.target)]


def _products(pairs: Tensor, weight: Tensor) -> Tensor:
    """Return the product of each head's columns with its vector, ``[edges, heads]``, in the dtype of the operands."""
    channels, heads = weight.shape
    products = pairs.view(pairs.shape[0], heads, channels) * weight.t()
    return products.sum(dim=2, dtype=products.dtype)


def _float_record(names: tuple[str, str, str], csr: CSR, weight: Tensor) -> OpRecord:
    edges, (channels, heads) = csr.col.numel(), weight.shape
    size = (edges * heads * (channels + 1) + weight.numel()) * weight.element_size()
    return OpRecord("linear", *names, (edges, channels, heads), *(FLOAT_BITS,) * 3, bytes=size)


@storable
@dataclass(frozen=True)
class IntegerPairLogits(IntegerLogits):
    """Integer form of :class:`PairLogits`.

    Attributes:
        names: names of the components: sums of pairs, vectors, logits.
        alignment: map from the two rows of an edge to the integers of their sum.
        leaky: int8, LeakyReLU of each such integer, from the least up.
        weight: the vectors, ``[channels, heads]``, signed, with a scale for each column.
        requantization: map from the sums of the products to the logits' integers.
    """

    names: tuple[str, str, str]
    alignment: Alignment
    leaky: Tensor
    weight: QTensor
    requantization: Requantization

    @property
    def range(self) -> IntegerRange:
        return self.requantization.range

    @property
    def bits(self) -> Mapping[str, int]:
        widths = (self.alignment.range.bits, self.weight.bits, self.range.bits)
        return dict(zip(self.names, widths, strict=True))

    @property
    def nbytes(self) -> int:
        return self.weight.nbytes

    @property
    def num_parameters(self) -> int:
        return self.weight.shape[0] * self.weight.shape[1]

    def check(self, step: str, inputs: Sequence[Signature], heads: int) -> None:
        channels, vectors = self.weight.shape
        if vectors != heads:
            raise ValueError(f"step {step!r} has {vectors} vectors for {heads} heads")
        for x in inputs:
            x.require(step, Granularity.TENSOR, columns=channels * heads)
        check_alignment(step, self.alignment, inputs, channels * heads)
        pairs = self.alignment.range
        check_table(step, self.leaky, pairs, pairs)
        check_weight(self.names[1], self.weight)
        check_columns(step, heads, self.requantization.multiplier, self.requantization.bias)
        check_linear(step, self.weight.payload, pairs, self.alignment.zero_point)

    def __call__(self, inputs: Sequence[QTensor], csr: CSR) -> Tensor:
        source, target = inputs
        offered = self.alignment.range
        pairs = self.alignment(_on_edges(centred(source), centred(target), csr))
        values = self.leaky[table_entries(pairs.to(torch.int16), offered)].to(torch.int32) - self.alignment.zero_point
        with operation(lambda: self._record(csr), values.device):
            return self.requantization(_products(values, self.weight.values.to(torch.int32)))

    def _record(self, csr: CSR) -> OpRecord:
        edges, (channels, heads) = csr.col.numel(), self.weight.shape
        pairs, result = self.alignment.range, self.range
        size = edges * (pairs.row_bytes(channels * heads) + result.row_bytes(heads)) + self.weight.payload.nbytes
        bits = (pairs.bits, self.weight.bits, result.bits)
        return OpRecord("linear", *self.names, (edges, channels, heads), *bits, bytes=size)
