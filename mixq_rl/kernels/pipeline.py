"""Pipelines: sequences of operations on a CPU that one native call executes, with their results in reused memory."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mixq_rl.errors import InputError
from mixq_rl.extents import check_held
from mixq_rl.kernels.arguments import CSRMatrix, Matrix, Rescale, check_entries, check_offset
from mixq_rl.kernels.calls import AggregateCall, Call, JoinCall, LinearCall
from mixq_rl.kernels.cpu import Engine
from mixq_rl.kernels.indices import raise_invalid
from mixq_rl.quantization import FixedPoint, IntegerRange, PackedRows, Requantization

__all__ = ["Pipeline"]


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
        self._takes_row = False
        self._values = [(columns, offered)]
        for number, call in enumerate(calls, start=1):
            if isinstance(call, LinearCall):
                self._append_linear(call)
            elif isinstance(call, AggregateCall):
                self._append_aggregate(number, call)
            else:
                self._append_join(call)
        self._state = self._observed()

    def _source(self, value: int, zero_point: int) -> tuple[int, int, int]:
        """Return the number of a value, and step and offset of the integers that its codes stand for."""
        held = self._values[value][1]
        offset = held.offset - zero_point
        check_offset("x", offset)
        return value, held.step, offset

    def _append_linear(self, call: LinearCall) -> None:
        inputs, held = self._values[call.source]
        weight = Matrix.of(call.weight, what="weight").contiguous()
        weight.check_weight()
        if weight.data.shape[0] != inputs:
            raise InputError(f"a weight of {weight.data.shape[0]} rows cannot be multiplied by {inputs} columns")
        if call.row_scaled and call.source:
            raise InputError("only rows of a pipeline's input can have scales")
        self._takes_row |= call.row_scaled
        rescale = self._rescale(call.requantization, None, 0, weight.columns)
        if call.row_scaled:
            rescale = rescale._replace(row_shift=call.requantization.row_shift)
        self._hold(weight=weight.data)
        layout = 0
        if not weight.data.is_inference() and self._engine.is_faster_by_bits(held.storage_bits, weight):
            self._layouts.append(self._engine.layout(weight, held.storage_bits))
            layout = self._layouts[-1].data_ptr()
        source = self._source(call.source, call.x_zero_point)
        native = self._engine.matrix(weight), layout, self._engine.rescale(rescale), call.row_scaled
        self._native.linear(*source, *native)
        self._values.append((weight.columns, call.requantization.range))

    def _append_aggregate(self, number: int, call: AggregateCall) -> None:
        columns = self._values[call.source][0]
        graph = CSRMatrix.of(call.rowptr, call.col, call.weight, call.weight_zero_point).contiguous()
        graph.check()
        rescale = self._rescale(call.requantization, call.row, graph.rowptr.shape[0] - 1, columns)
        self._hold(rowptr=graph.rowptr, col=graph.col, weight=graph.weight)
        self._graphs[number] = call.source, graph
        source = self._source(call.source, call.x_zero_point)
        self._native.aggregate(*source, *self._engine.graph(graph), self._engine.rescale(rescale))
        self._values.append((columns, call.requantization.range))

    def _append_join(self, call: JoinCall) -> None:
        widths = [self._values[source][0] for source in call.sources]
        if not call.concatenates and len(set(widths)) != 1:
            raise InputError(f"values of {widths} columns cannot be added or compared")
        if len(call.sources) != sum(len(alignment.multipliers) for alignment in call.alignments):
            raise InputError(f"{len(call.sources)} values do not have a multiplier each")
        columns, offered = sum(widths) if call.concatenates else widths[0], call.alignments[0].range
        bounds = call.alignments[0].zero_point, offered.minimum, offered.maximum, offered.is_sign, offered.storage_bits
        self._native.join(call.concatenates, columns, *bounds)
        taken = iter(zip(call.sources, call.zero_points, strict=True))
        for alignment in call.alignments:
            bias = None if alignment.bias is None else alignment.bias.contiguous()
            self._hold(bias=bias)
            self._native.add_part(0 if bias is None else bias.data_ptr(), alignment.shift)
            for given, (value, zero_point) in zip(alignment.multipliers, taken, strict=False):
                multiplier, width = given.contiguous(), self._values[value][0]
                check_entries("bias of an alignment", bias, torch.int64, width)
                check_entries("multiplier of an alignment", multiplier, torch.int64, width, or_one=True)
                self._hold(multiplier=multiplier)
                self._native.add_term(*self._source(value, zero_point), multiplier.data_ptr(), multiplier.numel() > 1)
        self._values.append((columns, offered))

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
        if self._takes_row != (mantissas is not None):
            raise InputError(f"the rows of this pipeline's input have {'' if self._takes_row else 'no '}scales")
        check_entries("scales of rows", mantissas, torch.int32, rows)
        check_held((("x", data), ("row", mantissas)))
        columns, offered = self._values[-1]
        shape = self._native.rows_of(len(self._values) - 1, rows), offered.row_bytes(columns)
        out = torch.empty(shape, dtype=offered.storage_dtype)
        failed = self._native.run(
            data.data_ptr(),
            rows,
            0 if mantissas is None else mantissas.data_ptr(),
            out.data_ptr(),
            torch.get_num_threads(),
        )
        if failed < 0:
            raise InputError("the graph has another number of nodes than the input has rows")
        if failed:
            source, graph = self._graphs[failed]
            raise_invalid(graph.rowptr, graph.col, self._native.rows_of(source, rows))
        return PackedRows(out, columns, offered)
