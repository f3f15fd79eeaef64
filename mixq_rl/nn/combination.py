"""Concatenations and maxima of values with different scales: float, fake-quantized and integer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mixq_rl import kernels
from mixq_rl.graph import Graph
from mixq_rl.nn.addition import centred, check_alignment, common_columns
from mixq_rl.nn.operator import Operator, Real, Symbol
from mixq_rl.nn.step import IntegerStep, Signature, check_scale
from mixq_rl.quantization import (
    Alignment,
    FakeQuantized,
    Granularity,
    LearnedQuantizer,
    PackedRows,
    QTensor,
)
from mixq_rl.storage.artifacts import storable

__all__ = ["Concatenate", "IntegerCombine", "Maximum"]


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
        width = common_columns(inputs)
        widths = []
        for x, alignment in zip(inputs, self.alignments, strict=True):
            x.require(self.result, Granularity.COLUMN, columns=width if self.join == "maximum" else None)
            widths.append(check_alignment(self.result, alignment, [x], x.columns))
            if x.pooled != inputs[0].pooled:
                raise ValueError(f"step {self.result!r} joins rows for nodes and rows for graphs")
        check_scale(self.result, self.scale)
        if self.join == "concatenate":
            width = None if None in widths else sum(columns for columns in widths if columns is not None)
        alignment = self.alignments[0]
        return Signature(alignment.range, alignment.zero_point, width, pooled=inputs[0].pooled)

    def call(self, inputs: Sequence[Signature], prepared: Any) -> kernels.Call:
        zero_points = tuple(x.zero_point for x in inputs)
        return kernels.JoinCall(self.sources, zero_points, self.alignments, self.join == "concatenate")

    def __call__(self, inputs: Sequence[QTensor], prepared: Any) -> QTensor:
        parts = [alignment([centred(x)]) for x, alignment in zip(inputs, self.alignments, strict=True)]
        offered = self.alignments[0].range
        joined = PackedRows.pack(_JOINS[self.join](parts), offered)
        return QTensor(joined, self.scale, self.alignments[0].zero_point)
