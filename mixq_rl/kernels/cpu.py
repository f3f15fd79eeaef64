"""CPU backend: the integer operations in C++, one binary for AVX-512 VNNI, AVX2 and all other processors."""

import warnings
from functools import cache
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

from mixq_rl.errors import InvalidGraphError
from mixq_rl.kernels.arguments import CSRMatrix, Matrix, Rescale
from mixq_rl.kernels.indices import check_indices
from mixq_rl.kernels.memory import Memory

__all__ = ["Engine", "instruction_sets"]


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


class Engine:
    """Backend for one instruction set; see :class:`mixq_rl.kernels.library.Backend`."""

    def __init__(self, instruction_set: str) -> None:
        extension = _extension()
        assert extension is not None
        self._extension = extension
        self._engine = extension.engine(instruction_set)
        self._bit_serial = extension.bit_serial(instruction_set)
        self._layouts: Memory[Tensor] = Memory()

    @property
    def is_bit_serial(self) -> bool:
        """Whether this processor has the instructions for :meth:`linear_by_bits`."""
        return self._bit_serial is not None

    def linear(self, x: Matrix, weight: Matrix, rescale: Rescale | None, out: Tensor) -> None:
        left, right = self._matrix(x), self._matrix(weight)
        if self.is_bit_serial and self._extension.is_faster(self._bit_serial, left, right):
            self.linear_by_bits(x, weight, rescale, out)
            return
        threads = torch.get_num_threads()
        self._extension.linear(self._engine, left, right, self._rescale(rescale), out.data_ptr(), threads)

    def linear_by_bits(self, x: Matrix, weight: Matrix, rescale: Rescale | None, out: Tensor) -> None:
        """Do the same as :meth:`linear` with operands whose numbers of bits multiply to at most 8.

        The first call for a weight lays its bits out for operands of as many bits as those of ``x``. The layout is kept
        while the weight exists and torch does not write to it. It takes about as many bytes as the weight in AVX-512,
        twice as many in AVX2, and a byte for each integer in portable code.
        """
        left, right, threads = self._matrix(x), self._matrix(weight), torch.get_num_threads()

        def lay_out() -> Tensor:
            layout = torch.empty(self._extension.layout_bytes(self._bit_serial, right, x.bits), dtype=torch.uint8)
            self._extension.lay_out(self._bit_serial, right, x.bits, layout.data_ptr(), threads)
            return layout

        # With the shape: torch changes it in place, and does not call that a write.
        layout = self._layouts.recall(weight.data, (x.bits, *weight[1:], weight.data.shape[0]), lay_out)
        self._extension.linear_by_bits(
            self._bit_serial, left, right, layout.data_ptr(), self._rescale(rescale), out.data_ptr(), threads
        )

    def aggregate(self, adjacency: CSRMatrix, x: Matrix, rescale: Rescale | None, out: Tensor) -> None:
        rowptr, col, weight, weight_zero_point = adjacency
        valid = self._extension.aggregate(
            self._engine,
            rowptr.data_ptr(),
            rowptr.shape[0] - 1,
            col.data_ptr(),
            col.shape[0],
            _address(weight),
            weight is not None and weight.dtype == torch.int8,
            weight_zero_point,
            self._matrix(x),
            self._rescale(rescale),
            out.data_ptr(),
            torch.get_num_threads(),
        )
        if not valid or not x.columns:  # neighbours are not read if they have no columns
            check_indices(rowptr, col, x.data.shape[0])
        if not valid:
            raise InvalidGraphError("the graph was written to during the call, and was wrong in between")

    def _matrix(self, x: Matrix) -> object:
        data, bits, columns, step, offset = x
        return self._extension.Matrix(
            data.data_ptr(), data.shape[0], columns, bits, data.dtype == torch.int8, step, offset
        )

    def _rescale(self, rescale: Rescale | None) -> object:
        if rescale is None:
            return None
        offered = rescale.range
        return self._extension.Rescale(
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
