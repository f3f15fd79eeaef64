"""Activations by lookup table: float, fake-quantized and integer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mixq_rl.graph import Graph
from mixq_rl.nn.operator import Operator, Real, Symbol
from mixq_rl.nn.step import IntegerStep, Signature, check_scale
from mixq_rl.quantization import (
    FakeQuantized,
    Granularity,
    IntegerRange,
    LearnedQuantizer,
    PackedRows,
    QTensor,
    Quantizer,
    straight_clamp,
    substitute,
)
from mixq_rl.quantization.integer_range import check_zero_point, within
from mixq_rl.storage.artifacts import storable

__all__ = ["Activation", "IntegerLookup", "lookup_table", "table_entries"]

Function = Callable[[Tensor], Tensor]


class Activation(Operator):
    r"""Activation: any function of single entries, :math:`X' = f(X)`.

    On integers it is a lookup table of :math:`2^b` entries, one for each integer of X at b bits.

    Components: the result.

    Args:
        function: f; accepts float64 tensors too.
        result: name of the result's component.

    Shapes:
        ``[rows, columns]`` to ``[rows, columns]``.
    """

    def __init__(self, function: Function, result: str) -> None:
        super().__init__()
        self.function = function
        self.result_quantizer = LearnedQuantizer(result, "update", signed=None, affine=True)

    def real(self, inputs: Sequence[Real], graph: Graph | None) -> Real:
        (x,) = inputs
        return Real(self.result_quantizer(self.function(x.dense)), self.result_quantizer.name)

    def fake_quantized(self, inputs: Sequence[FakeQuantized], graph: Graph | None) -> FakeQuantized:
        (x,) = inputs
        source = Quantizer(x.range, x.scale.detach(), x.zero_point)
        own, result = self.result_quantizer, self.function(x.to_real())
        own.follow(lambda: result, x.protected)
        table = lookup_table(source, self.function, own.quantizer())
        exact = table.to(x.values.dtype)[table_entries(x.dense.detach() + x.zero_point, x.range)] - own.zero_point
        real = result / own.scale.to(x.values.dtype)
        low, high = own.range.minimum - own.zero_point, own.range.maximum - own.zero_point
        values = substitute(straight_clamp(real, low, high), exact)
        if x.protected is not None:
            values = torch.where(x.protected, real, values)
        return FakeQuantized(values, own.scale, own.range, own.zero_point, name=own.name, protected=x.protected)

    def freeze(self, inputs: Sequence[Symbol]) -> Symbol:
        (x,) = inputs
        own = self.result_quantizer.quantizer()
        step = IntegerLookup(
            result=self.result_quantizer.name,
            sources=(x.index,),
            table=lookup_table(x.quantizer, self.function, own),
            source_range=x.quantizer.range,
            range=own.range,
            zero_point=own.zero_point,
            scale=own.scale,
        )
        return x.program.append(step, own, self.result_quantizer.name)

    def extra_repr(self) -> str:
        return repr(self.function) if isinstance(self.function, nn.Module) else self.function.__name__


def lookup_table(source: Quantizer, function: Function, result: Quantizer) -> Tensor:
    """Return the integers of ``function`` at every integer of ``source``, from its minimum up, int8 or uint8.

    Args:
        source: quantizer of the argument, with one scale.
        function: function of single entries.
        result: quantizer of the result.
    """
    integers = torch.arange(
        source.range.minimum, source.range.maximum + 1, source.range.step, device=source.scale.device
    )
    with torch.no_grad():
        return result.integers(function((integers.double() - source.zero_point) * source.scale))


def table_entries(integers: Tensor, offered: IntegerRange) -> Tensor:
    """Return the index, int64, of each integer (of any dtype) in a table that starts at the range's minimum."""
    indices = integers.clamp(offered.minimum, offered.maximum).round().to(torch.int64) - offered.minimum
    return indices if offered.step == 1 else indices // offered.step


def check_table(step: str, table: Tensor, source: IntegerRange, result: IntegerRange) -> None:
    """Check that a table holds an integer of range ``result`` for each of ``source``.

    Raises:
        ValueError: naming the step.
    """
    entries = 2**source.bits
    fits = table.shape == (entries,) and table.dtype == result.dtype
    if not fits or not within(table, result.minimum, result.maximum):
        raise ValueError(f"the table of step {step!r} must have {entries} entries of {result}, held as {result.dtype}")


@storable
@dataclass(frozen=True)
class IntegerLookup(IntegerStep):
    """Integer step of :class:`Activation`.

    Attributes:
        result: name of the result's component.
        sources: the source of the argument.
        table: int8 or uint8, the result for each integer of the source, from its minimum up.
        source_range: range of the source's integers.
        range: range of the result's integers.
        zero_point: zero point of the result.
        scale: scale of the result, float64 scalar.
    """

    result: str
    sources: tuple[int, ...]
    table: Tensor
    source_range: IntegerRange
    range: IntegerRange
    zero_point: int
    scale: Tensor

    def __post_init__(self) -> None:
        check_table(self.result, self.table, self.source_range, self.range)
        check_zero_point(self.zero_point)
        check_scale(self.result, self.scale)

    @property
    def bits(self) -> Mapping[str, int]:
        return {self.result: self.range.bits}

    def infer(self, inputs: Sequence[Signature]) -> Signature:
        (x,) = inputs
        x.require(self.result, Granularity.TENSOR)
        if x.range != self.source_range:
            raise ValueError(f"the table of step {self.result!r} is for {self.source_range}")
        return Signature(self.range, self.zero_point, x.columns, pooled=x.pooled)

    def __call__(self, inputs: Sequence[QTensor], prepared: Any) -> QTensor:
        (x,) = inputs
        integers = self.table[table_entries(x.values.to(torch.int16), self.source_range)]
        return QTensor(PackedRows.pack(integers, self.range), self.scale, self.zero_point)
