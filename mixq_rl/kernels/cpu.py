"""CPU backend: the integer operations in C++, one binary for AVX-512 VNNI, AVX2 and all other processors."""

import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from mixq_rl.kernels.arguments import CSRMatrix, Matrix, Rescale
from mixq_rl.kernels.indices import check_indices, raise_invalid
from mixq_rl.kernels.memory import Memory
from mixq_rl.quantization import IntegerRange

__all__ = ["Engine", "engine", "instruction_sets"]


@cache
def _extension() -> ModuleType | None:
    try:
        return import_module("mixq_rl.kernels._cpu")
    except ImportError as error:
        warnings.warn(
            f"mixq_rl's native kernels cannot be imported ({error}): integers are executed by torch, which is "
            f"right but slow. Installing the package where a C++ compiler is at hand builds them.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


@cache
def instruction_sets() -> tuple[str, ...]:
    """Return the instruction sets (``"avx512"``, ``"avx2"``, ``"portable"``) that can run here, fastest first.

    The result is empty, with a warning, if the extension cannot be imported.
    """
    extension = _extension()
    return () if extension is None else tuple(extension.instruction_sets())


@cache
def engine(instruction_set: str) -> "Engine":
    """Return the backend for an instruction set, one of :func:`instruction_sets`."""
    return Engine(instruction_set)


class Engine:
    """Backend for one instruction set; see :class:`mixq_rl.kernels.library.Backend`."""

    def __init__(self, instruction_set: str) -> None:
        extension = _extension()
        assert extension is not None
        self.extension = extension
        self._engine = extension.engine(instruction_set)
        self._bit_serial = extension.bit_serial(instruction_set)
        self._layouts: Memory[Tensor] = Memory()

    @property
    def is_bit_serial(self) -> bool:
        """Whether this processor has the instructions for :meth:`linear_by_bits`."""
        return self._bit_serial is not None

    def linear(self, x: Matrix, weight: Matrix, rescale: Rescale | None, out: Tensor) -> None:
        left, right = self.matrix(x), self.matrix(weight)
        if self.is_bit_serial and self.extension.is_faster(self._bit_serial, left, right):
            self.linear_by_bits(x, weight, rescale, out)
            return
        threads = torch.get_num_threads()
        self.extension.linear(self._engine, left, right, self.rescale(rescale), out.data_ptr(), threads)

    def linear_by_bits(self, x: Matrix, weight: Matrix, rescale: Rescale | None, out: Tensor) -> None:
        """Do the same as :meth:`linear` with operands whose numbers of bits multiply to at most 8.

        The first call for a weight lays its bits out for operands of as many bits as those of ``x``. The layout is kept
        while the weight exists and torch does not write to it. It takes about as many bytes as the weight in AVX-512,
        twice as many in AVX2, and a byte for each integer in portable code.
        """
        left, right, threads = self.matrix(x), self.matrix(weight), torch.get_num_threads()
        layout = self.layout(weight, x.bits)
        self.extension.linear_by_bits(
            self._bit_serial, left, right, layout.data_ptr(), self.rescale(rescale), out.data_ptr(), threads
        )

    def layout(self, weight: Matrix, x_bits: int) -> Tensor:
        """Return the bits of a weight as :meth:`linear_by_bits` reads them for operands of ``x_bits`` bits, uint8."""
        right = self.matrix(weight)

        def lay_out() -> Tensor:
            layout = torch.empty(self.extension.layout_bytes(self._bit_serial, right, x_bits), dtype=torch.uint8)
            self.extension.lay_out(self._bit_serial, right, x_bits, layout.data_ptr(), torch.get_num_threads())
            return layout

        # With the shape: torch changes it in place, and does not call that a write.
        return self._layouts.recall(weight.data, (x_bits, *weight[1:], weight.data.shape[0]), lay_out)

    def aggregate(self, adjacency: CSRMatrix, x: Matrix, rescale: Rescale | None, out: Tensor) -> None:
        rowptr, col, _, _ = adjacency
        valid = self.extension.aggregate(
            self._engine,
            *self.graph(adjacency),
            self.matrix(x),
            self.rescale(rescale),
            out.data_ptr(),
            torch.get_num_threads(),
        )
        if not valid:
            raise_invalid(rowptr, col, x.data.shape[0])
        if not x.columns:  # neighbours are not read if they have no columns
            check_indices(rowptr, col, x.data.shape[0])

    def is_faster_by_bits(self, x_bits: int, weight: Matrix) -> bool:
        """Return whether :meth:`linear` uses :meth:`linear_by_bits` for a weight and operands of ``x_bits`` bits."""
        x = self.extension.Matrix(0, 0, weight.data.shape[0], x_bits, False, 1, 0)
        return self.is_bit_serial and self.extension.is_faster(self._bit_serial, x, self.matrix(weight))

    def pipeline(self, columns: int, offered: IntegerRange) -> Any:
        """Return an empty pipeline of the extension, for an input of a range."""
        is_signed = offered.storage_dtype == torch.int8
        return self.extension.Pipeline(self._engine, self._bit_serial, columns, offered.storage_bits, is_signed)

    def direct(self, layout: Callable[[Tensor, int, int, int, int, int], Tensor]) -> Any:
        """Return the extension's direct calls; ``layout`` does what :meth:`layout` does."""
        return self.extension.Direct(self._engine, self._bit_serial, layout, torch)

    def graph(self, adjacency: CSRMatrix) -> tuple[int | bool, ...]:
        """Return the arguments of the extension for a graph."""
        rowptr, col, weight, zero_point = adjacency
        rows, is_signed = rowptr.shape[0] - 1, weight is not None and weight.dtype == torch.int8
        return rowptr.data_ptr(), rows, col.data_ptr(), col.shape[0], _address(weight), is_signed, zero_point

    def matrix(self, x: Matrix) -> object:
        """Return a matrix as the extension takes it."""
        data, bits, columns, step, offset = x
        return self.extension.Matrix(
            data.data_ptr(), data.shape[0], columns, bits, data.dtype == torch.int8, step, offset
        )

    def rescale(self, rescale: Rescale | None) -> object:
        """Return a requantization as the extension takes it."""
        if rescale is None:
            return None
        offered = rescale.range
        return self.extension.Rescale(
            rescale.multiplier.data_ptr(),
            rescale.multiplier.numel(),
            rescale.shift,
            _address(rescale.row),
            rescale.row_shift,
            _address(rescale.bias),
            rescale.zero_point,
            offered.minimum,
            offered.maximum,
            offered.is_sign,
            offered.storage_bits,
        )


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()
