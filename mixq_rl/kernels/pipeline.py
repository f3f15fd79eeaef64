"""Pipelines: sequences of operations on a CPU that one native call executes, with their results in reused memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixq_rl.errors import InputError
from mixq_rl.kernels.arguments import CSRMatrix, Matrix, Rescale, check_offset
from mixq_rl.kernels.cpu import Engine
from mixq_rl.kernels.extents import check_held
from mixq_rl.kernels.indices import raise_invalid
from mixq_rl.quantization import FixedPoint, IntegerRange, PackedRows, Requantization

__all__ = ["AggregateCall", "Call", "LinearCall", "Pipeline"]


@dataclass(frozen=True)
class LinearCall:
    """A product with a weight, requantized; see :func:`mixq_rl.kernels.linear_requantize`.

    Attributes:
        source: the value that is multiplied: 0 is the pipeline's input, k the result of call k.
        weight: ``[inputs, outputs]``.
        requantization: map from the sums to the result's integers.
        x_zero_point: zero point of the source.
        row_scaled: whether the rows of the source have scales, which only those of the input can have.
    """

    source: int
    weight: PackedRows
    requantization: Requantization
    x_zero_point: int
    row_scaled: bool


@dataclass(frozen=True)
class AggregateCall:
    """Sums over neighbours, requantized; see :func:`mixq_rl.kernels.aggregate_requantize`.

    Attributes:
        source: the value whose rows are summed: 0 is the pipeline's input, k the result of call k.
        rowptr, col, weight, weight_zero_point: the graph.
        requantization: map from the sums to the result's integers.
        x_zero_point: zero point of the source.
        row: fixed-point scales of the rows, ``[rows, 1]``, or None.
    """

    source: int
    rowptr: Tensor
    col: Tensor
    weight: Tensor | None
    weight_zero_point: int
    requantization: Requantization
    x_zero_point: int
    row: FixedPoint | None


Call = LinearCall | AggregateCall


class Pipeline:
    """Calls of a network on one graph, executed without Python in between. Callable from several threads.

    A pipeline keeps the memory of its intermediate results from one execution to the next. It follows addresses of
    tensors: :attr:`is_current` says whether all tensors still are where they were, and as they were.

    Args:
        engine: backend that executes the calls.
        columns: number of columns of the input.
        offered: range of the input's integers.
        calls: the calls in execution order.

    Raises:
        TypeError: for tensors of a wrong dtype.
        InputError: for shapes that do not fit each other.
    """

    def __init__(self, engine: Engine, columns: int, offered: IntegerRange, calls: Sequence[Call]) -> None:
        self.columns, self.range = columns, offered
        self._engine, self._native = engine, engine.pipeline(columns, offered)
        self._held: list[tuple[str, Tensor | None]] = []
        self._layouts: list[Tensor] = []
        self._graphs: dict[int, tuple[int, CSRMatrix]] = {}
        values = [(columns, offered)]
        for number, call in enumerate(calls, start=1):
            width, held = values[call.source]
            offset = held.offset - call.x_zero_point
            check_offset("x", offset)
            if isinstance(call, LinearCall):
                width = self._append_linear(call, width, held, offset)
            else:
                self._append_aggregate(number, call, width, held, offset)
            values.append((width, call.requantization.range))
        self._length, self._result = len(calls), values[-1]
        self._state = self._observed()

    def _append_linear(self, call: LinearCall, inputs: int, held: IntegerRange, offset: int) -> int:
        weight = Matrix.of(call.weight, what="weight").contiguous()
        weight.check_weight()
        if weight.data.shape[0] != inputs:
            raise InputError(f"a weight of {weight.data.shape[0]} rows cannot be multiplied by {inputs} columns")
        rescale = self._rescale(call.requantization, None, 0, weight.columns)
        if call.row_scaled:
            rescale = rescale._replace(row_shift=call.requantization.row_shift)
        self._hold(weight=weight.data)
        by_bits = not weight.data.is_inference() and self._engine.is_faster_by_bits(held.storage_bits, weight)
        layout = self._engine.layout(weight, held.storage_bits) if by_bits else None
        if layout is not None:
            self._layouts.append(layout)
        address = 0 if layout is None else layout.data_ptr()
        native = self._engine.matrix(weight), address, self._engine.rescale(rescale), call.row_scaled
        self._native.linear(call.source, held.step, offset, *native)
        return weight.columns

    def _append_aggregate(
        self, number: int, call: AggregateCall, columns: int, held: IntegerRange, offset: int
    ) -> None:
        graph = CSRMatrix.of(call.rowptr, call.col, call.weight, call.weight_zero_point).contiguous()
        graph.check()
        rescale = self._rescale(call.requantization, call.row, graph.rowptr.shape[0] - 1, columns)
        self._hold(rowptr=graph.rowptr, col=graph.col, weight=graph.weight)
        self._graphs[number] = call.source, graph
        self._native.aggregate(
            call.source, held.step, offset, *self._engine.graph(graph), self._engine.rescale(rescale)
        )

    def _rescale(self, requantization: Requantization, row: FixedPoint | None, rows: int, columns: int) -> Rescale:
        rescale = Rescale.of(requantization, row).contiguous()
        rescale.check(rows, columns)
        self._hold(multiplier=rescale.multiplier, bias=rescale.bias, row=rescale.row)
        return rescale

    def _hold(self, **tensors: Tensor | None) -> None:
        check_held(tensors.items())
        self._held.extend(tensors.items())

    def _observed(self) -> list[tuple[int, int, int]]:
        """Return where each tensor lies, how much memory its storage has, and how often torch has written to it."""
        return [
            (tensor.data_ptr(), tensor.untyped_storage().nbytes(), 0 if tensor.is_inference() else tensor._version)
            for _, tensor in self._held
            if tensor is not None
        ]

    @property
    def is_current(self) -> bool:
        """Whether torch has neither moved nor written to any tensor since the pipeline was made."""
        return self._observed() == self._state

    def memory(self, rows: int) -> int:
        """Return the number of bytes that the intermediate results of an input with ``rows`` rows take."""
        size: int = self._native.memory(rows)
        return size

    def __call__(self, x: PackedRows, row: FixedPoint | None = None) -> PackedRows:
        """Execute the calls.

        Args:
            x: the input, with the columns and the range that the pipeline was made for.
            row: fixed-point scales of the input's rows, ``[rows, 1]``, or None.

        Returns:
            the result of the last call.

        Raises:
            InputError: for another input.
            InvalidGraphError: for an index out of bounds.
        """
        if (x.columns, x.range) != (self.columns, self.range):
            raise InputError(
                f"this pipeline takes {self.columns} columns of {self.range}, not {x.columns} of {x.range}"
            )
        data, mantissas = x.data.contiguous(), None if row is None else row.mantissa.contiguous()
        rows = data.shape[0]
        if mantissas is not None and (mantissas.dtype != torch.int32 or mantissas.numel() != rows):
            raise InputError(f"{mantissas.numel()} scales of rows for {rows} rows")
        check_held((("x", data), ("row", mantissas)))
        columns, offered = self._result
        shape = self._native.rows_of(self._length, rows), offered.row_bytes(columns)
        out = torch.empty(shape, dtype=offered.storage_dtype)
        failed = self._native.run(
            data.data_ptr(),
            rows,
            0 if mantissas is None else mantissas.data_ptr(),
            out.data_ptr(),
            torch.get_num_threads(),
        )
        if failed:
            source, graph = self._graphs[failed]
            raise_invalid(graph.rowptr, graph.col, self._native.rows_of(source, rows))
        return PackedRows(out, columns, offered)
