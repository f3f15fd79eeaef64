"""Meter of the operations that a network executes, in bit operations, bytes and seconds."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, Self

import torch

__all__ = ["FLOAT_BITS", "ComponentCost", "Convention", "OpMeter", "OpRecord", "is_metered", "operation", "unmetered"]

FLOAT_BITS = 32
"""Bit-width of float32."""

Convention = Literal["linear", "product"]

_active: ContextVar[tuple["OpMeter", ...]] = ContextVar("active_meters", default=())


@dataclass(frozen=True)
class OpRecord:
    """One executed operation.

    Attributes:
        kind: ``"linear"`` or ``"aggregate"``.
        left: name of the component that is the left operand.
        right: name of the component that is the right operand.
        result: name of the component that is the result.
        shape: ``(rows, inputs, outputs)`` of a linear, ``(rows, edges, features)`` of an aggregate.
        operations: rows * inputs * outputs of a linear; 2 * edges * features (multiply and add) of an aggregate.
        macs: number of multiply-accumulates.
        left_bits, right_bits, result_bits: bit-widths; 32 for float32. ``left_bits`` is None without a left operand,
            for neighbours that are added up without weights.
        bytes: bytes moved: size of operands and result in memory; a row of an aggregate counts each time it is
            gathered.
        seconds: time with requantization. On a GPU it is measured by the GPU's clock, and known after the meter's
            block.
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
        ``product``: multiply-accumulates times the product of the operands' bit-widths. A missing operand is left out
        of the mean, and counts as 1 in the product, in float32 as on integers.
        """
        if convention == "product":
            return float(self.macs * (self.left_bits or 1) * self.right_bits)
        bits = [width for _, width in self._widths()]
        return self.operations * sum(bits) / len(bits)

    def bitops_by_component(self) -> list[tuple[str, float]]:
        """Return the parts of the ``linear`` bit operations of operands and result: operations * bits / their number.

        A missing operand has no part. A component that occurs twice has two parts.
        """
        widths = self._widths()
        return [(name, self.operations * width / len(widths)) for name, width in widths]

    def _widths(self) -> list[tuple[str, int]]:
        found = ((self.left, self.left_bits), (self.right, self.right_bits), (self.result, self.result_bits))
        return [(name, width) for name, width in found if width is not None]


@dataclass(frozen=True)
class ComponentCost:
    """Cost of one component, over all operations that it takes part in.

    Attributes:
        bitops: its part of the bit operations, convention ``linear``: operations * its bits / number of operands and
            result, for each operation in which it is an operand or the result.
        bytes: bytes moved by the operations whose result it is.
        seconds: time of the operations whose result it is.
    """

    bitops: float = 0.0
    bytes: int = 0
    seconds: float = 0.0

    def __add__(self, other: "ComponentCost") -> "ComponentCost":
        return ComponentCost(self.bitops + other.bitops, self.bytes + other.bytes, self.seconds + other.seconds)


class OpMeter:
    """Records every operation executed inside its ``with`` block. At the end of the block it waits for a GPU.

    Args:
        timed: whether operations are timed. False: their seconds are 0.0, and the block does not wait for a GPU.

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
        """Return the cost of each component, in the order of execution. The costs sum to the cost of all records.

        A component that is only an operand, such as a weight, has no bytes and no seconds.
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
    """Time the block, and add the return value of ``record`` to the active meters.

    Without an active meter ``record`` is not called, and the block does not wait for a GPU. Meters are not active while
    torch compiles or exports a program, because they would measure the tracing.
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


def is_metered() -> bool:
    """Return whether a meter is active."""
    return bool(_active.get())


@contextmanager
def unmetered() -> Iterator[None]:
    """Switch the active meters off inside the block, because operations in a CUDA graph cannot be timed one by one."""
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
