"""Sums, concatenations and maxima of values with different scales: float, fake-quantized and integer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mixq_rl.graph import Graph
from mixq_rl.nn.linear import folded_norm
from mixq_rl.nn.operator import Operator, Real, Symbol
from mixq_rl.nn.step import IntegerStep, Signature, check_columns, check_scale, count_entries
from mixq_rl.quantization import (
    Alignment,
    AnyAlignment,
    ComponentKind,
    FakeQuantized,
    Granularity,
    LearnedQuantizer,
    PackedRows,
    QTensor,
)
from mixq_rl.storage.artifacts import storable

__all__ = ["Add", "Concatenate", "IntegerAdd", "IntegerCombine", "Maximum"]


class Add(Operator):
    r"""Sum of values with different scales, with batch normalisation and bias.

    .. math::
        X' = \sigma\left(\mathrm{norm}\left(\sum_k X_k\right) + b\right)

    On integers each :math:`q_k - z_k` is multiplied by a fixed-point number that brings it to the result's scale, the
    norm's factor included; the 64-bit sums are rounded once.

    Components: the result.

    Args:
        result: name of the result's component.
        kind: kind of the component.
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
        bias_channels: int | None = None,
        norm: nn.BatchNorm1d | None = None,
        relu: bool = False,
    ) -> None:
        super().__init__()
        self.relu = relu
        self.norm = norm
        self.bias = None if bias_channels is None else nn.Parameter(torch.zeros(bias_channels))
        self.result_quantizer = LearnedQuantizer(result, kind, signed=not relu, affine=not relu)

    def reset_parameters(self) -> None:
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        if self.norm is not None:
            self.norm.reset_parameters()

    def real(self, inputs: Sequence[Real], graph: Graph | None) -> Real:
        result = inputs[0].dense
        for other in inputs[1:]:
            result = result + other.dense
        result = result if self.norm is None else self.norm(result)
        result = result if self.bias is None else result + self.bias
        result = result.relu() if self.relu else result
        return Real(self.result_quantizer(result), self.result_quantizer.name)

    def fake_quantized(self, inputs: Sequence[FakeQuantized], graph: Graph | None) -> FakeQuantized:
        factor, bias = self._affine()
        scales = [x.scale if factor is None else x.scale * factor.double() for x in inputs]
        return self.result_quantizer.fake_align([x.dense for x in inputs], scales, bias, inputs[0].protected)

    def freeze(self, inputs: Sequence[Symbol]) -> Symbol:
        factor, bias = self._affine()
        scales = [x.quantizer.scale if factor is None else x.quantizer.scale * factor.double() for x in inputs]
        step = IntegerAdd(
            result=self.result_quantizer.name,
            sources=tuple(x.index for x in inputs),
            alignment=self.result_quantizer.alignment(scales, bias),
            scale=self.result_quantizer.scale.detach(),
        )
        return inputs[0].program.append(step, self.result_quantizer.quantizer(), self.result_quantizer.name)

    def _affine(self) -> tuple[Tensor | None, Tensor | None]:
        if self.norm is None:
            return None, self.bias
        factor, shift = folded_norm(self.norm)
        return factor, shift if self.bias is None else shift + self.bias

    def extra_repr(self) -> str:
        return f"bias={self.bias is not None}, relu={self.relu}"


def single_alignment(quantizer: LearnedQuantizer, x: Symbol) -> Alignment:
    """Return the alignment of one value to the one scale of a component."""
    alignment = quantizer.alignment([x.quantizer.scale], None).uniform
    assert alignment is not None
    return alignment


class _Combine(Operator):
    """Base class of concatenation and maximum: all sources are brought to the result's scale, then joined.

    Args:
        result: name of the result's component.
    """

    takes = Granularity.COLUMN
    join: str

    def __init__(self, result: str) -> None:
        super().__init__()
        self.result_quantizer = LearnedQuantizer(result, "update", signed=None, affine=True)

    def real(self, inputs: Sequence[Real], graph: Graph | None) -> Real:
        joined = _JOINS[self.join]([x.dense for x in inputs])
        return Real(self.result_quantizer(joined), self.result_quantizer.name)

    def fake_quantized(self, inputs: Sequence[FakeQuantized], graph: Graph | None) -> FakeQuantized:
        values, scales = [x.dense for x in inputs], [x.scale for x in inputs]
        return self.result_quantizer.fake_join(values, scales, _JOINS[self.join], inputs[0].protected)

    def freeze(self, inputs: Sequence[Symbol]) -> Symbol:
        own = self.result_quantizer
        step = IntegerCombine(
            result=self.result_quantizer.name,
            sources=tuple(x.index for x in inputs),
            join=self.join,
            alignments=tuple(single_alignment(own, x) for x in inputs),
            scale=own.scale.detach(),
        )
        return inputs[0].program.append(step, own.quantizer(), own.name)


class Concatenate(_Combine):
    r"""Concatenation of columns, all brought to one scale: :math:`X' = [X_1, X_2, \ldots]`.

    Components: the result.

    Shapes:
        ``[rows, columns_k]`` each to ``[rows, sum of columns_k]``.
    """

    join = "concatenate"


class Maximum(_Combine):
    r"""Elementwise maximum of several values, all brought to one scale: :math:`X' = \max_k X_k`.

    Components: the result.

    Shapes:
        any number of ``[rows, columns]`` to ``[rows, columns]``.
    """

    join = "maximum"


def _concatenate(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts), dim=1)


def _maximum(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(parts)).amax(dim=0)


_JOINS = {"concatenate": _concatenate, "maximum": _maximum}


def centred(x: QTensor) -> Tensor:
    """Return q - z, int16 ``[rows, columns]``."""
    return x.values.to(torch.int16) - x.zero_point


def _common_columns(inputs: Sequence[Signature]) -> int | None:
    return next((x.columns for x in inputs if x.columns is not None), None)


def _check_alignment(
    step: str, alignment: AnyAlignment, inputs: Sequence[Signature], columns: int | None
) -> int | None:
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
        columns = _common_columns(inputs)
        for x in inputs:
            x.require(self.result, Granularity.COLUMN, columns=columns)
            if x.pooled != inputs[0].pooled:
                raise ValueError(f"step {self.result!r} adds up rows for nodes and rows for graphs")
        columns = _check_alignment(self.result, self.alignment, inputs, columns)
        check_scale(self.result, self.scale)
        result = self.alignment
        return Signature(result.range, result.zero_point, columns, result.has_row, pooled=inputs[0].pooled)

    def __call__(self, inputs: Sequence[QTensor], prepared: Any) -> QTensor:
        return self.alignment.quantized([centred(x) for x in inputs], self.scale)


@storable
@dataclass(frozen=True)
class IntegerCombine(IntegerStep):
    """Integer step of :class:`Concatenate` or :class:`Maximum`.

    Attributes:
        result: name of the result's component.
        sources: the sources of the parts.
        join: ``"concatenate"`` or ``"maximum"``.
        alignments: map from each part's centred integers to the result's integers.
        scale: scale of the result, float64 scalar.
    """

    result: str
    sources: tuple[int, ...]
    join: str
    alignments: tuple[Alignment, ...]
    scale: Tensor

    def __post_init__(self) -> None:
        if self.join not in _JOINS:
            raise ValueError(f"unknown join {self.join!r}: known are {', '.join(_JOINS)}")
        if not self.alignments or len({(a.range, a.zero_point) for a in self.alignments}) > 1:
            raise ValueError(f"the parts of {self.result!r} are not brought to the same integers")

    @property
    def bits(self) -> Mapping[str, int]:
        return {self.result: self.alignments[0].range.bits}

    @property
    def keeps_columns(self) -> bool:
        return self.join == "maximum"

    def infer(self, inputs: Sequence[Signature]) -> Signature:
        if len(inputs) != len(self.alignments):
            raise ValueError(f"step {self.result!r} has {len(self.alignments)} alignments for {len(inputs)} sources")
        width = _common_columns(inputs)
        widths = []
        for x, alignment in zip(inputs, self.alignments, strict=True):
            x.require(self.result, Granularity.COLUMN, columns=width if self.join == "maximum" else None)
            widths.append(_check_alignment(self.result, alignment, [x], x.columns))
            if x.pooled != inputs[0].pooled:
                raise ValueError(f"step {self.result!r} joins rows for nodes and rows for graphs")
        check_scale(self.result, self.scale)
        if self.join == "concatenate":
            width = None if None in widths else sum(columns for columns in widths if columns is not None)
        alignment = self.alignments[0]
        return Signature(alignment.range, alignment.zero_point, width, pooled=inputs[0].pooled)

    def __call__(self, inputs: Sequence[QTensor], prepared: Any) -> QTensor:
        parts = [alignment([centred(x)]) for x, alignment in zip(inputs, self.alignments, strict=True)]
        offered = self.alignments[0].range
        joined = PackedRows.pack(_JOINS[self.join](parts), offered)
        return QTensor(joined, self.scale, self.alignments[0].zero_point)
