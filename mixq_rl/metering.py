"""What a network executed, in operations, bits, bytes and seconds."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, Self

import torch

__all__ = ["FLOAT_BITS", "ComponentCost", "Convention", "OpMeter", "OpRecord", "operation", "unmetered"]

FLOAT_BITS = 32
"""The bits that a float32 number counts."""

Convention = Literal["linear", "product"]

_active: ContextVar[tuple["OpMeter", ...]] = ContextVar("active_meters", default=())


@dataclass(frozen=True)
class OpRecord:
    """One executed operation.

    Attributes:
        kind: ``"linear"`` or ``"aggregate"``.
        left: name of the component that is the left operand.
        right: name of the component that is the right operand.
        result: name of the component that the result became.
        shape: ``(rows, inputs, outputs)`` of a linear, ``(rows, edges, features)`` of an aggregate.
        operations: rows * inputs * outputs of a linear; 2 * edges * features (multiply and add) of an aggregate.
        macs: multiply-accumulates.
        left_bits, right_bits, result_bits: bit-widths; 32 for float32. None where there is no such operand: neighbours
            that are added up without weights.
        bytes: moved: of operands and result as they were held, of an aggregate's rows as often as they were gathered.
        seconds: requantization included; on a GPU as its own clock has it, known when the meter's block has ended.
    """

    kind: Literal["linear", "aggregate"]
    left: str
    right: str
    result: str
    shape: tuple[int, int, int]
    left_bits: int | None
    right_bits: int
    result_bits: int
    bytes: int
    seconds: float = 0.0

    @property
    def macs(self) -> int:
        first, second, third = self.shape
        return first * second * third if self.kind == "linear" else second * third

    @property
    def operations(self) -> int:
        return self.macs if self.kind == "linear" else 2 * self.macs

    def bitops(self, convention: Convention = "linear") -> float:
        """Return the bit operations of this operation.

        ``linear`` (MixQ-GNN, Degree-Quant): operations times the mean bit-width of operands and result.
        ``product``: multiply-accumulates times the product of the operands' bit-widths. An operand that is not there
        counts nothing in the mean and 1 in the product, in float32 as on integers.
        """
        if convention == "product":
            return float(self.macs * (self.left_bits or 1) * self.right_bits)
        bits = [width for _, width in self._widths()]
        return self.operations * sum(bits) / len(bits)

    def bitops_by_component(self) -> list[tuple[str, float]]:
        """Return the parts of the ``linear`` bit operations of each operand and the result: operations * bits / number.

        An operand that is not there has no part; a component that is there twice has two.
        """
        widths = self._widths()
        return [(name, self.operations * width / len(widths)) for name, width in widths]

    def _widths(self) -> list[tuple[str, int]]:
        found = ((self.left, self.left_bits), (self.right, self.right_bits), (self.result, self.result_bits))
        return [(name, width) for name, width in found if width is not None]


@dataclass(frozen=True)
class ComponentCost:
    """What one component costs, over all operations that it takes part in.

    Attributes:
        bitops: its part of the bit operations, convention ``linear``: as an operand or a result it contributes
            operations * its bits / number of operands and result.
        bytes: moved by the operations whose result it is.
        seconds: of the operations whose result it is.
    """

    bitops: float = 0.0
    bytes: int = 0
    seconds: float = 0.0

    def __add__(self, other: "ComponentCost") -> "ComponentCost":
        return ComponentCost(self.bitops + other.bitops, self.bytes + other.bytes, self.seconds + other.seconds)


class OpMeter:
    """Records every operation executed inside its ``with`` block, leaving which it waits for a GPU to have finished.

    Args:
        timed: whether operations are timed. False: their seconds stay 0.0, and a GPU is not waited for.

    Example:
        >>> with OpMeter() as meter:
        ...     pass
        >>> meter.bitops("linear")
        0.0
    """

    def __init__(self, *, timed: bool = True) -> None:
        self.timed = timed
        self.records: list[OpRecord] = []
        self._pending: list[tuple[int, torch.cuda.Event, torch.cuda.Event]] = []
        self._tokens: list[Token[tuple[OpMeter, ...]]] = []

    def __enter__(self) -> Self:
        self._tokens.append(_active.set((*_active.get(), self)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _active.reset(self._tokens.pop())
        for index, started, ended in self._pending:
            ended.synchronize()
            self.records[index] = replace(self.records[index], seconds=started.elapsed_time(ended) / 1000)
        self._pending.clear()

    def bitops(self, convention: Convention = "linear") -> float:
        """Return the bit operations of all records.

        Raises:
            ValueError: for a convention other than ``"linear"`` and ``"product"``.
        """
        if convention not in ("linear", "product"):
            raise ValueError(f"unknown convention {convention!r}: known are 'linear' and 'product'")
        return float(sum(record.bitops(convention) for record in self.records))

    def by_component(self) -> dict[str, ComponentCost]:
        """Return what each component costs, in the order of execution; together that is what all records cost.

        A component that is only an operand, such as a weight, moves nothing and takes no time of its own.
        """
        costs: dict[str, ComponentCost] = defaultdict(ComponentCost)
        for record in self.records:
            for name, bitops in record.bitops_by_component():
                costs[name] += ComponentCost(bitops=bitops)
            costs[record.result] += ComponentCost(bytes=record.bytes, seconds=record.seconds)
        return dict(costs)

    @property
    def operations(self) -> int:
        return sum(record.operations for record in self.records)

    @property
    def bytes(self) -> int:
        return sum(record.bytes for record in self.records)

    @property
    def seconds(self) -> float:
        return sum(record.seconds for record in self.records)


@contextmanager
def operation(record: Callable[[], OpRecord], device: torch.device) -> Iterator[None]:
    """Time the block and hand what ``record`` returns to the active meters.

    Where none is active, ``record`` is not called, and a GPU is not waited for. A program that torch compiles or
    exports has no meters: they would measure its tracing.
    """
    meters = () if torch.compiler.is_compiling() else _active.get()
    if not meters:
        yield
    elif not any(meter.timed for meter in meters):
        yield
        executed = record()
        for meter in meters:
            meter.records.append(executed)
    elif device.type == "cuda":
        with torch.cuda.device(device):
            yield from _timed_on_device(record, meters)
    else:
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        executed = record()
        finished = replace(executed, seconds=seconds)
        for meter in meters:
            meter.records.append(finished if meter.timed else executed)


@contextmanager
def unmetered() -> Iterator[None]:
    """Switch the active meters off inside the block: what a CUDA graph captures cannot be timed one by one."""
    token = _active.set(())
    try:
        yield
    finally:
        _active.reset(token)


def _timed_on_device(record: Callable[[], OpRecord], meters: tuple[OpMeter, ...]) -> Iterator[None]:
    started, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    started.record()
    yield
    ended.record()
    executed = record()
    for meter in meters:
        if meter.timed:
            meter._pending.append((len(meter.records), started, ended))
        meter.records.append(executed)
