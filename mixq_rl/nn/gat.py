"""Graph attention layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mixq_rl.graph import Graph
from mixq_rl.metering import FLOAT_BITS, OpRecord, operation
from mixq_rl.nn.addition import centred
from mixq_rl.nn.attention import Attend
from mixq_rl.nn.bounds import check_linear
from mixq_rl.nn.linear import Linear, check_weight
from mixq_rl.nn.logits import AddedScores
from mixq_rl.nn.operator import Operator, Real, Symbol, Value
from mixq_rl.nn.step import IntegerStep, Signature, check_columns, check_scale
from mixq_rl.quantization import FakeQuantized, Granularity, LearnedQuantizer, QTensor, Requantization
from mixq_rl.storage.artifacts import storable

__all__ = ["GATConv", "IntegerScore", "Score"]


class GATConv(nn.Module):
    r"""Graph attention layer of Veličković et al. (2018), with a bit-width for each of its parts.

    .. math::
        s_i^h = a^h \cdot (X W)_i^h, \quad t_i^h = b^h \cdot (X W)_i^h, \quad
        \alpha_{ij}^h = \mathrm{softmax}_j \mathrm{LeakyReLU}(s_j^h + t_i^h), \quad
        X'_i = \sigma\left(\mathop{\Vert}_h \sum_j \alpha_{ij}^h (X W)_j^h + b\right)

    Sums run over the neighbours and the node itself. The integer network computes the attention on integers only; see
    :class:`~mixq_rl.nn.logits.AddedScores` and :class:`~mixq_rl.nn.attention.Attend`.

    Components: ``weight``, ``message`` (XW), ``attention_weight`` (a and b), ``score`` (s and t), ``logit``,
    ``attention`` (:math:`\alpha`), ``aggregate``.

    Args:
        in_channels: number of features of a node.
        out_channels: number of result columns of each head.
        name: name of the layer; its components are called ``name.weight`` and so on.
        heads: number of heads.
        concat: whether the heads' results are concatenated, or averaged.
        negative_slope: slope of LeakyReLU below 0.
        dropout: dropout probability of the coefficients, in training only.
        relu: whether :math:`\sigma` is ReLU or the identity.
        bias: whether there is a bias b.

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
        relu: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        names = (f"{name}.weight", f"{name}.message")
        self.linear = Linear(in_channels, heads * out_channels, names=names, kind="message", bias=False)
        self.score = Score(heads, out_channels, names=(f"{name}.attention_weight", f"{name}.score"))
        channels = heads * out_channels if concat else out_channels
        self.attend = Attend(
            AddedScores(f"{name}.logit", negative_slope=negative_slope),
            heads,
            concat=concat,
            names=(f"{name}.attention", f"{name}.aggregate"),
            bias_channels=channels if bias else None,
            dropout=dropout,
            relu=relu,
        )

    def reset_parameters(self) -> None:
        self.linear.reset_parameters()
        self.score.reset_parameters()
        self.attend.reset_parameters()

    def forward(self, x: Value, graph: Graph | None = None) -> Any:
        """Compute in the arithmetic of ``x``."""
        message = self.linear(x)
        return self.attend(message, self.score(message), graph=graph)


class Score(Operator):
    r"""Scores of attention: two products for each head, :math:`s^h = X^h a^h` and :math:`t^h = X^h b^h`.

    :math:`X^h` are the columns of head h.

    Components: the vectors a and b of all heads (a scale for each), the scores.

    Args:
        heads: number of heads.
        channels: number of columns of each head.
        names: names of the two components.

    Shapes:
        x ``[rows, heads * channels]`` to ``[rows, 2 * heads]``: s of all heads, then t.
    """

    def __init__(self, heads: int, channels: int, *, names: tuple[str, str]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 2 * heads))
        self.weight_quantizer = LearnedQuantizer(names[0], "weight", signed=True, granularity=Granularity.COLUMN)
        self.result_quantizer = LearnedQuantizer(names[1], "attention", signed=True, affine=True)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = (6.0 / (self.weight.shape[0] + 1)) ** 0.5  # Glorot's for each vector
        nn.init.uniform_(self.weight, -bound, bound)

    def real(self, inputs: Sequence[Real], graph: Graph | None) -> Real:
        (x,) = inputs
        weight = self.weight_quantizer(self.weight)
        with operation(lambda: _float_record(self._names(x.name), x.shape[0], weight), weight.device):
            score = _scores(x.dense, weight)
        return Real(self.result_quantizer(score), self.result_quantizer.name)

    def fake_quantized(self, inputs: Sequence[FakeQuantized], graph: Graph | None) -> FakeQuantized:
        (x,) = inputs
        weight = self.weight_quantizer.fake_quantize(self.weight)
        scores = _scores(x.dense, weight.dense)
        return self.result_quantizer.fake_requantize(scores, x.scale * weight.scale, protected=x.protected)

    def freeze(self, inputs: Sequence[Symbol]) -> Symbol:
        (x,) = inputs
        weight = self.weight_quantizer.quantizer().quantize(self.weight.detach())
        requantization = self.result_quantizer.requantization(x.quantizer.scale * weight.scale, None, None).uniform
        assert requantization is not None
        step = IntegerScore(
            names=self._names(x.name),
            sources=(x.index,),
            weight=weight,
            requantization=requantization,
            scale=self.result_quantizer.scale.detach(),
        )
        return x.program.append(step, self.result_quantizer.quantizer(), self.result_quantizer.name)

    def _names(self, source: str) -> tuple[str, str, str]:
        return source, self.weight_quantizer.name, self.result_quantizer.name

    def extra_repr(self) -> str:
        return f"heads={self.weight.shape[1] // 2}, channels={self.weight.shape[0]}"


def _scores(x: Tensor, weight: Tensor) -> Tensor:
    """Return ``[rows, 2 * heads]``, in the dtype of the operands."""
    channels, columns = weight.shape
    by_head = x.reshape(x.shape[0], 1, columns // 2, channels)
    products = by_head * weight.t().reshape(1, 2, columns // 2, channels)
    return products.sum(dim=3, dtype=products.dtype).flatten(1)


def _float_record(names: tuple[str, str, str], rows: int, weight: Tensor) -> OpRecord:
    channels, columns = weight.shape
    size = (rows * channels * columns // 2 + weight.numel() + rows * columns) * weight.element_size()
    return OpRecord("linear", *names, (rows, channels, columns), *(FLOAT_BITS,) * 3, bytes=size)


@storable
@dataclass(frozen=True)
class IntegerScore(IntegerStep):
    """Integer step of :class:`Score`.

    Attributes:
        names: names of the components: x, vectors, scores.
        sources: the source of x.
        weight: the vectors, ``[channels, 2 * heads]``, signed, with a scale for each column.
        requantization: map from the sums of the products to the scores' integers.
        scale: scale of the result, float64 scalar.
    """

    names: tuple[str, str, str]
    sources: tuple[int, ...]
    weight: QTensor
    requantization: Requantization
    scale: Tensor

    @property
    def result(self) -> str:
        return self.names[2]

    @property
    def bits(self) -> Mapping[str, int]:
        return {self.names[1]: self.weight.bits, self.names[2]: self.requantization.range.bits}

    @property
    def in_columns(self) -> int:
        return self.weight.shape[0] * self.weight.shape[1] // 2

    @property
    def nbytes(self) -> int:
        return self.weight.nbytes

    @property
    def weight_name(self) -> str:
        return self.names[1]

    @property
    def num_parameters(self) -> int:
        return self.weight.shape[0] * self.weight.shape[1]

    def infer(self, inputs: Sequence[Signature]) -> Signature:
        (x,), (channels, columns) = inputs, self.weight.shape
        if columns % 2:
            raise ValueError(f"step {self.result!r} has {columns} vectors, which is not two for each head")
        x.require(self.result, Granularity.TENSOR, columns=channels * columns // 2)
        check_weight(self.names[1], self.weight)
        check_columns(self.result, columns, self.requantization.multiplier, self.requantization.bias)
        check_scale(self.result, self.scale)
        check_linear(self.result, self.weight.payload, x.range, x.zero_point)
        return Signature(self.requantization.range, self.requantization.zero_point, columns, pooled=x.pooled)

    def __call__(self, inputs: Sequence[QTensor], prepared: Any) -> QTensor:
        (x,) = inputs
        with operation(lambda: self._record(x), x.payload.data.device):
            sums = _scores(centred(x).to(torch.int32), self.weight.values.to(torch.int32))
            return self.requantization.quantized(sums, self.scale)

    def _record(self, x: QTensor) -> OpRecord:
        (rows, _), (channels, columns) = x.shape, self.weight.shape
        offered = self.requantization.range
        size = x.payload.nbytes + self.weight.payload.nbytes + rows * offered.row_bytes(columns)
        bits = (x.bits, self.weight.bits, offered.bits)
        return OpRecord("linear", *self.names, (rows, channels, columns), *bits, bytes=size)
