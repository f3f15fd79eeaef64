"""What a network executed, in operations, bits, bytes and seconds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, Self

__all__ = ["Convention", "OpMeter", "OpRecord", "operation"]

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
        left_bits, right_bits, result_bits: bit-widths; 32 for float32.
        bytes: bytes of operands and result, as they were held.
        seconds: wall-clock time, requantization included.
    """

    kind: Literal["linear", "aggregate"]
    left: str
    right: str
    result: str
    shape: tuple[int, int, int]
    left_bits: int
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
        ``product``: multiply-accumulates times the product of the operands' bit-widths.
        """
        if convention == "product":
            return float(self.macs * self.left_bits * self.right_bits)
        return self.operations * (self.left_bits + self.right_bits + self.result_bits) / 3


class OpMeter:
    """Records every operation executed inside its ``with`` block.

    Example:
        >>> with OpMeter() as meter:
        ...     pass
        >>> meter.bitops("linear")
        0.0
    """

    def __init__(self) -> None:
        self.records: list[OpRecord] = []
        self._tokens: list[Token[tuple[OpMeter, ...]]] = []

    def __enter__(self) -> Self:
        self._tokens.append(_active.set((*_active.get(), self)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _active.reset(self._tokens.pop())

    def bitops(self, convention: Convention = "linear") -> float:
        """Return the bit operations of all records.

        Raises:
            ValueError: for a convention other than ``"linear"`` and ``"product"``.
        """
        if convention not in ("linear", "product"):
            raise ValueError(f"unknown convention {convention!r}: known are 'linear' and 'product'")
        return float(sum(record.bitops(convention) for record in self.records))

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
def operation(record: OpRecord) -> Iterator[None]:
    """Time the block and hand ``record`` to the active meters; costs nothing to speak of when there are none."""
    meters = _active.get()
    if not meters:
        yield
        return
    started = time.perf_counter()
    yield
    finished = replace(record, seconds=time.perf_counter() - started)
    for meter in meters:
        meter.records.append(finished)
