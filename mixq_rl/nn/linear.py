"""Linear layers: float, fake-quantized and integer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mixq_rl import kernels
from mixq_rl.graph import Graph
from mixq_rl.metering import operation
from mixq_rl.nn import records
from mixq_rl.nn.batch_norm import Moments, factor_and_shift, orientation
from mixq_rl.nn.bounds import check_linear
from mixq_rl.nn.operator import Operator, Real, Symbol
from mixq_rl.nn.step import IntegerStep, Signature, check_columns, check_scale, count_entries
from mixq_rl.quantization import (
    AnyRequantization,
    ComponentKind,
    FakeQuantized,
    FixedPoint,
    Granularity,
    LearnedQuantizer,
    QTensor,
)
from mixq_rl.quantization.integer_range import within
from mixq_rl.storage.artifacts import storable

__all__ = ["IntegerLinear", "Linear"]


class Linear(Operator):
    r"""Linear layer: a product with a weight, with batch normalisation as a part of it.

    .. math::
        X' = \sigma\left(\mathrm{norm}(X W + b)\right)

    On integers, with :math:`x \approx s_{x,i} s_x (q - z)` and :math:`w \approx s_{w,j} \omega`: :math:`\sum (q - z)
    \omega`, requantized; row scales, column scales and bias are folded into the requantization, and :math:`\sigma`
    (ReLU) is the lower end of an unsigned range. Integer networks normalise by the running statistics, training
    normalises by those of the batch. The weight is quantized without the norm's factor :math:`f_j`, but with its sign,
    because requantization has no negative multipliers: :math:`\mathrm{sign}(f_j) w \approx s_{w,j} \omega`.

    Components: the weight (a scale for each column), the result.

    Args:
        in_channels: number of columns of X.
        out_channels: number of columns of the result.
        names: names of the two components.
        kind: kind of the result's component.
        bias: whether there is a bias b.
        norm: batch normalisation of the result, or None.
        relu: whether :math:`\sigma` is ReLU or the identity.

    Shapes:
        x ``[rows, in_channels]`` to ``[rows, out_channels]``.
    """

    takes = Granularity.ROW
    gives = Granularity.ROW

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        names: tuple[str, str],
        kind: ComponentKind = "output",
        bias: bool = True,
        norm: nn.BatchNorm1d | None = None,
        relu: bool = False,
    ) -> None:
        super().__init__()
        self.relu = relu
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.norm = norm
        self.weight_quantizer = LearnedQuantizer(names[0], "weight", signed=True, granularity=Granularity.COLUMN)
        self.result_quantizer = LearnedQuantizer(names[1], kind, signed=not relu, affine=not relu)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        if self.norm is not None:
            self.norm.reset_parameters()

    def real(self, inputs: Sequence[Real], graph: Graph | None) -> Real:
        (x,) = inputs
        signs = orientation(self.norm)
        weight = _times(self.weight_quantizer(_times(self.weight, signs)), signs)
        with operation(lambda: records.float_linear(self._names(x.name), x.values, self.weight), self.weight.device):
            result = x.values @ weight
            result = result if self.bias is None else result + self.bias
            result = result if self.norm is None else self.norm(result)
            result = result.relu() if self.relu else result
        return Real(self.result_quantizer(result), self.result_quantizer.name)

    def fake_quantized(self, inputs: Sequence[FakeQuantized], graph: Graph | None) -> FakeQuantized:
        (x,) = inputs
        oriented = _times(self.weight, orientation(self.norm))
        weight = self.weight_quantizer.fake_quantize(oriented.to(x.values.dtype))
        sums, scale = x.values @ weight.dense, x.scale * weight.scale
        scale, bias = self._normalised(scale, sums, x.row)
        return self.result_quantizer.fake_requantize(sums, scale, bias=bias, row=x.row, protected=x.protected)

    def freeze(self, inputs: Sequence[Symbol]) -> Symbol:
        (x,) = inputs
        oriented = _times(self.weight, orientation(self.norm))
        weight = self.weight_quantizer.quantizer().quantize(oriented.detach())
        scale, bias = self._normalised(x.quantizer.scale * weight.scale)
        step = IntegerLinear(
            names=self._names(x.name),
            sources=(x.index,),
            weight=weight,
            requantization=self.result_quantizer.requantization(scale, bias, x.quantizer.row_exponent),
            scale=self.result_quantizer.scale.detach(),
        )
        return x.program.append(step, self.result_quantizer.quantizer(), self.result_quantizer.name)

    def _normalised(
        self, scale: Tensor, sums: Tensor | None = None, row: FixedPoint | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the scale of the products' sums with the norm's factor in it, and the bias with its shift.

        Args:
            scale: scale of the sums, float64 ``[]`` or ``[columns]``.
            sums: the sums, which the norm needs in training, ``[rows, columns]``.
            row: fixed-point scales of the rows of ``sums``, or None.
        """
        if self.norm is None:
            return scale, self.bias
        signs, moments = orientation(self.norm), None
        if self.norm.training and sums is not None:
            entries = sums if row is None else sums * row.to_real().to(sums.dtype)
            moments = Moments.of(entries).times(_times(scale, signs))
        factor, shift = factor_and_shift(self.norm, moments, bias=self.bias, step=self.result_quantizer.scale)
        return scale * _times(factor, signs), shift

    def _names(self, source: str) -> records.Names:
        return source, self.weight_quantizer.name, self.result_quantizer.name

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, {self.weight.shape[1]}, bias={self.bias is not None}, relu={self.relu}"


def _times(x: Tensor, signs: Tensor | None) -> Tensor:
    return x if signs is None else x * signs


@storable
@dataclass(frozen=True)
class IntegerLinear(IntegerStep):
    """Integer step of :class:`Linear`.

    Attributes:
        names: names of the components: x, weight, result.
        sources: the source of x.
        weight: ``[in_channels, out_channels]``, signed, with a scale for each column.
        requantization: map from the sums of the product to the result's integers.
        scale: scale of the result, float64 scalar.
    """

    names: tuple[str, str, str]
    sources: tuple[int, ...]
    weight: QTensor
    requantization: AnyRequantization
    scale: Tensor

    @property
    def result(self) -> str:
        return self.names[2]

    @property
    def bits(self) -> Mapping[str, int]:
        return {self.names[1]: self.weight.bits, self.names[2]: self.requantization.range.bits}

    @property
    def in_columns(self) -> int:
        return self.weight.shape[0]

    @property
    def nbytes(self) -> int:
        return self.weight.nbytes

    @property
    def weight_name(self) -> str:
        return self.names[1]

    @property
    def num_parameters(self) -> int:
        return self.weight.shape[0] * self.weight.shape[1] + count_entries(self.requantization.bias)

    def infer(self, inputs: Sequence[Signature]) -> Signature:
        (x,) = inputs
        rows, columns = self.weight.shape
        x.require(self.result, Granularity.ROW, columns=rows)
        check_weight(self.names[1], self.weight)
        check_columns(self.result, columns, self.requantization.multiplier, self.requantization.bias)
        check_scale(self.result, self.scale)
        self.requantization.check_rows(x.has_row)
        check_linear(self.result, self.weight.payload, x.range, x.zero_point)
        result = self.requantization
        return Signature(result.range, result.zero_point, columns, result.has_row, pooled=x.pooled)

    def call(self, inputs: Sequence[Signature], prepared: Any) -> kernels.Call | None:
        (x,), uniform = inputs, self.requantization.uniform
        if uniform is None:
            return None
        return kernels.LinearCall(self.sources[0], self.weight.payload, uniform, x.zero_point, x.has_row)

    def __call__(self, inputs: Sequence[QTensor], prepared: Any) -> QTensor:
        (x,), requantization = inputs, self.requantization
        with operation(
            lambda: records.integer_linear(self.names, x, self.weight, requantization.range), x.payload.data.device
        ):
            uniform = requantization.uniform
            if uniform is None:
                sums = kernels.linear(x.payload, self.weight.payload, x_zero_point=x.zero_point)
                return requantization.quantized(sums, self.scale, x.row)
            result = kernels.linear_requantize(
                x.payload, self.weight.payload, uniform, x_zero_point=x.zero_point, row=x.row
            )
        return QTensor(result, self.scale, requantization.zero_point)


def check_weight(name: str, weight: QTensor) -> None:
    """Check that a weight holds signed integers of its bit-width, without zero point and row scales.

    Raises:
        ValueError: naming the component.
    """
    offered = weight.range
    # 3 bits, for example, are stored in 4, which could hold integers outside the range.
    held = offered.bits == offered.storage_bits or within(weight.values, offered.minimum, offered.maximum)
    if not offered.signed or not held:
        raise ValueError(f"{name!r} holds other integers than signed ones of {weight.bits} bits")
    if weight.zero_point or weight.row is not None:
        raise ValueError(f"{name!r} has a zero point or scales of its rows, which a weight cannot have")
