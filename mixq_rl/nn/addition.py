"""Sums of values with different scales: float, fake-quantized and integer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mixq_rl import kernels
from mixq_rl.graph import Graph
from mixq_rl.nn.batch_norm import Moments, factor_and_shift
from mixq_rl.nn.operator import Operator, Real, Symbol
from mixq_rl.nn.step import IntegerStep, Signature, check_columns, check_scale, count_entries
from mixq_rl.quantization import (
    AnyAlignment,
    ComponentKind,
    FakeQuantized,
    Granularity,
    LearnedQuantizer,
    QTensor,
)
from mixq_rl.storage.artifacts import storable

__all__ = ["Add", "IntegerAdd", "centred", "check_alignment", "common_columns"]


class Add(Operator):
    r"""Sum of values with different scales, with batch normalisation and bias.

    .. math::
        X' = \sigma\left(\mathrm{norm}\left(\sum_k c_k X_k\right) + b\right)

    On integers each :math:`q_k - z_k` is multiplied by a fixed-point number that brings it to the result's scale, the
    norm's factor and :math:`c_k` included; the 64-bit sums are rounded once.

    Components: the result.

    Args:
        result: name of the result's component.
        kind: kind of the component.
        coefficients: the numbers c, not 0, one for each X; None: all 1.
        bias_channels: length of b; None: no bias.
        norm: batch normalisation, or None.
        relu: whether :math:`\sigma` is ReLU or the identity.

    Shapes:
        any number of ``[rows, columns]`` to ``[rows, columns]``.
    """

    takes = Granularity.COLUMN
    gives = Granularity.ROW

    def __init__(
        self,
        result: str,
        *,
        kind: ComponentKind = "update",
        coefficients: tuple[float, ...] | None = None,
        bias_channels: int | None = None,
        norm: nn.BatchNorm1d | None = None,
        relu: bool = False,
    ) -> None:
        super().__init__()
        self.relu = relu
        self.coefficients = coefficients
        self.norm = norm
        self.bias = None if bias_channels is None else nn.Parameter(torch.zeros(bias_channels))
        self.result_quantizer = LearnedQuantizer(result, kind, signed=not relu, affine=not relu)

    def reset_parameters(self) -> None:
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        if self.norm is not None:
            self.norm.reset_parameters()

    def real(self, inputs: Sequence[Real], graph: Graph | None) -> Real:
        factors = self.coefficients or (1.0,) * len(inputs)
        terms = [x.dense if factor == 1 else x.dense * factor for x, factor in zip(inputs, factors, strict=True)]
        result = terms[0]
        for other in terms[1:]:
            result = result + other
        result = result if self.norm is None else self.norm(result)
        result = result if self.bias is None else result + self.bias
        result = result.relu() if self.relu else result
        return Real(self.result_quantizer(result), self.result_quantizer.name)

    def fake_quantized(self, inputs: Sequence[FakeQuantized], graph: Graph | None) -> FakeQuantized:
        values = [x.dense for x in inputs]
        scales, bias = self._affine([x.scale for x in inputs], values)
        return self.result_quantizer.fake_align(values, scales, bias, inputs[0].protected)

    def freeze(self, inputs: Sequence[Symbol]) -> Symbol:
        scales, bias = self._affine([x.quantizer.scale for x in inputs])
        step = IntegerAdd(
            result=self.result_quantizer.name,
            sources=tuple(x.index for x in inputs),
            alignment=self.result_quantizer.alignment(scales, bias),
            scale=self.result_quantizer.scale.detach(),
        )
        return inputs[0].program.append(step, self.result_quantizer.quantizer(), self.result_quantizer.name)

    def _affine(self, scales: Sequence[Tensor], values: Sequence[Tensor] = ()) -> tuple[list[Tensor], Tensor | None]:
        """Return the scales of the terms of the sum, norm included, and the bias.

        Args:
            scales: scales of the sources, float64 ``[]`` or ``[columns]``.
            values: the sources, which the norm needs in training, ``[rows, columns]`` each.
        """
        if self.coefficients is not None:
            scales = [scale * number for scale, number in zip(scales, self.coefficients, strict=True)]
        if self.norm is None:
            return list(scales), self.bias
        moments = None
        if self.norm.training and values:
            first, *others = [each * scale.to(each.dtype) for each, scale in zip(values, scales, strict=True)]
            moments = Moments.of(sum(others, first))
        factor, shift = factor_and_shift(self.norm, moments, step=self.result_quantizer.scale)
        return [scale * factor for scale in scales], shift if self.bias is None else shift + self.bias

    def extra_repr(self) -> str:
        return f"coefficients={self.coefficients}, bias={self.bias is not None}, relu={self.relu}"


def centred(x: QTensor) -> Tensor:
    """Return q - z, int16 ``[rows, columns]``."""
    return x.values.to(torch.int16) - x.zero_point


def common_columns(inputs: Sequence[Signature]) -> int | None:
    """Return the number of columns of the first value for which it is known."""
    return next((x.columns for x in inputs if x.columns is not None), None)


def check_alignment(step: str, alignment: AnyAlignment, inputs: Sequence[Signature], columns: int | None) -> int | None:
    """Check that an alignment fits a step's sources, and return the number of columns if it is known.

    Raises:
        ValueError: naming the step.
    """
    if len(alignment.multipliers) != len(inputs):
        raise ValueError(f"step {step!r} has {len(alignment.multipliers)} multipliers for {len(inputs)} sources")
    return check_columns(step, columns, *alignment.multipliers, alignment.bias)


@storable
@dataclass(frozen=True)
class IntegerAdd(IntegerStep):
    """Integer step of :class:`Add`.

    Attributes:
        result: name of the result's component.
        sources: the sources of the addends.
        alignment: map from the addends' centred integers to the result's integers.
        scale: scale of the result, float64 scalar.
    """

    result: str
    sources: tuple[int, ...]
    alignment: AnyAlignment
    scale: Tensor

    @property
    def bits(self) -> Mapping[str, int]:
        return {self.result: self.alignment.range.bits}

    @property
    def num_parameters(self) -> int:
        return count_entries(self.alignment.bias)

    def infer(self, inputs: Sequence[Signature]) -> Signature:
        columns = common_columns(inputs)
        for x in inputs:
            x.require(self.result, Granularity.COLUMN, columns=columns)
            if x.pooled != inputs[0].pooled:
                raise ValueError(f"step {self.result!r} adds up rows for nodes and rows for graphs")
        columns = check_alignment(self.result, self.alignment, inputs, columns)
        check_scale(self.result, self.scale)
        result = self.alignment
        return Signature(result.range, result.zero_point, columns, result.has_row, pooled=inputs[0].pooled)

    def call(self, inputs: Sequence[Signature], prepared: Any) -> kernels.Call | None:
        uniform = self.alignment.uniform
        if uniform is None:
            return None
        return kernels.JoinCall(self.sources, tuple(x.zero_point for x in inputs), (uniform,), False)

    def __call__(self, inputs: Sequence[QTensor], prepared: Any) -> QTensor:
        return self.alignment.quantized([centred(x) for x in inputs], self.scale)
