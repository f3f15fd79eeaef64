"""Grouped arguments of the integer operators: each group is a run of consecutive arguments."""

from functools import cache
from operator import index
from typing import NamedTuple, Self, SupportsIndex

import torch
from torch import Tensor

from mixq_rl.errors import InputError
from mixq_rl.quantization import FixedPoint, IntegerRange, PackedRows, Requantization
from mixq_rl.quantization.integer_range import check_zero_point

__all__ = ["CSRMatrix", "Matrix", "Rescale", "check_entries", "check_offset", "check_tensor"]

_BYTES = (torch.int8, torch.uint8)
_FARTHEST = 2**10
_integer_range = cache(IntegerRange)
_strided = torch.strided


def check_tensor(what: str, value: object) -> None:
    """Check that a value is a tensor, with its entries in memory.

    Raises:
        TypeError: for another type, or a sparse or quantized tensor.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{what} must be a torch.Tensor, not {type(value).__name__}")
    if value.layout is not _strided or value.is_quantized:
        kind = value.dtype if value.is_quantized else value.layout
        raise TypeError(f"{what} must be a dense tensor of integers, not a {kind} tensor")


def check_offset(what: str, offset: int) -> None:
    """Check that an offset of integers, the range's minus the zero point, is one that sums are known to fit with.

    Raises:
        InputError: for an offset out of bounds.
    """
    if abs(offset) > _FARTHEST:
        raise InputError(f"{what} has offset {offset}, outside {-_FARTHEST}...{_FARTHEST}")


class Matrix(NamedTuple):
    """Matrix of integers ``step * u + offset``, with the codes u of :class:`~mixq_rl.quantization.PackedRows`.

    Attributes:
        data: int8 or uint8, ``[rows, ceil(columns * bits / 8)]``; uint8 below 8 bits.
        bits: storage bits of one integer: 1, 2, 4 or 8.
        columns: number of columns.
        step: 1 or 2.
        offset: the range's offset minus the zero point.
    """

    data: Tensor
    bits: int
    columns: int
    step: int
    offset: int

    @classmethod
    def of(cls, x: Tensor | PackedRows, zero_point: int = 0, *, what: str = "x") -> Self:
        """Return the arguments for bytes or packed rows with a zero point.

        Raises:
            TypeError: for other types.
        """
        zero_point = _integer(f"zero point of {what}", zero_point)
        if isinstance(x, Tensor):
            check_tensor(what, x)
            return cls(x, 8, x.shape[-1] if x.dim() else 0, 1, -zero_point)
        if not isinstance(x, PackedRows):
            raise TypeError(f"{what} must be a torch.Tensor or PackedRows, not {type(x).__name__}")
        return cls(x.data, x.range.storage_bits, x.columns, x.range.step, x.range.offset - zero_point)

    def check(self, what: str) -> None:
        """Check dtype and shape.

        Raises:
            TypeError: for data that are not bytes.
            InputError: for a shape that does not fit.
        """
        if self.data.dtype not in _BYTES or (self.bits < 8 and self.data.dtype != torch.uint8):
            raise TypeError(f"{what} holds int8 or uint8 (uint8 where packed), not {self.data.dtype}")
        if self.bits not in (1, 2, 4, 8):
            raise InputError(f"{what} has {self.bits} bits of storage; kernels read 1, 2, 4 and 8")
        if self.step != 1 and (self.step, self.bits) != (2, 1):
            raise InputError(f"{what} has integers {self.step} apart; only single bits can be, by 2")
        check_offset(what, self.offset)
        if self.columns < 0 or self.data.dim() != 2 or self.data.shape[1] != -(-self.columns * self.bits // 8):
            raise InputError(
                f"{what} of shape {tuple(self.data.shape)} does not hold {self.columns} columns of {self.bits} bits"
            )

    def check_weight(self) -> None:
        """Check dtype, shape and range of the right factor of a product.

        Raises:
            TypeError: for data that are not int8 or packed.
            InputError: for a shape that does not fit, or integers outside those of int8.
        """
        self.check("weight")
        if self.data.dtype != torch.int8 and self.bits == 8:
            raise TypeError(f"weight holds int8 or packed integers, not {self.data.dtype}")
        low, high = (-128, 127) if self.bits == 8 else (0, 2**self.bits - 1)
        if low * self.step + self.offset < -128 or high * self.step + self.offset > 127:
            raise InputError("the integers of weight must lie within those of int8: it takes no zero point")

    def contiguous(self) -> Self:
        """Return the group with contiguous tensors."""
        return self if self.data.is_contiguous() else self._replace(data=self.data.contiguous())


class CSRMatrix(NamedTuple):
    """Sparse matrix of integers in CSR: the neighbours of each row, and the weights of the edges.

    Attributes:
        rowptr: int32, ``[rows + 1]``, the position in ``col`` where the neighbours of each row begin.
        col: int32, ``[edges]``: neighbours, rows of the matrix that is aggregated.
        weight: int8 or uint8, ``[edges]``; None: all 1.
        weight_zero_point: zero point of the weights.
    """

    rowptr: Tensor
    col: Tensor
    weight: Tensor | None
    weight_zero_point: int

    @classmethod
    def of(cls, rowptr: Tensor, col: Tensor, weight: Tensor | None, weight_zero_point: int) -> Self:
        """Return the arguments for a graph.

        Raises:
            TypeError: for other types.
        """
        check_tensor("rowptr", rowptr)
        check_tensor("col", col)
        if weight is not None:
            check_tensor("weight", weight)
        return cls(rowptr, col, weight, _integer("zero point of weight", weight_zero_point))

    def check(self) -> None:
        """Check dtypes and shapes.

        Raises:
            TypeError: for other dtypes.
            InputError: for shapes that do not fit.
        """
        if self.rowptr.dtype != torch.int32 or self.col.dtype != torch.int32:
            raise TypeError(f"aggregate takes int32 rowptr and col, not {self.rowptr.dtype} and {self.col.dtype}")
        weight = self.col if self.weight is None else self.weight
        if self.weight is not None and weight.dtype not in _BYTES:
            raise TypeError(f"aggregate takes int8 or uint8 edge weights, not {weight.dtype}")
        if abs(self.weight_zero_point) > _FARTHEST:
            raise InputError(
                f"zero point {self.weight_zero_point} of the edge weights is outside {-_FARTHEST}...{_FARTHEST}"
            )
        if self.rowptr.dim() != 1 or self.col.dim() != 1 or self.rowptr.shape[0] < 1 or weight.shape != self.col.shape:
            raise InputError("aggregate takes rowptr [rows + 1], col [edges], weight [edges] or None")

    def contiguous(self) -> Self:
        """Return the group with contiguous tensors."""
        if self.rowptr.is_contiguous() and self.col.is_contiguous() and _is_contiguous(self.weight):
            return self
        weight = None if self.weight is None else self.weight.contiguous()
        return self._replace(rowptr=self.rowptr.contiguous(), col=self.col.contiguous(), weight=weight)


class Rescale(NamedTuple):
    """Requantization (:class:`~mixq_rl.quantization.Requantization`) with the row scales of its application.

    Attributes:
        multiplier: int64, ``[]``, ``[1]`` or ``[columns]``.
        shift: 1...40.
        row: int32 mantissas, ``[rows, 1]`` or ``[rows]``, or None.
        row_shift: 0...63.
        bias: int64, ``[columns]``, or None.
        zero_point: zero point of the result.
        bits: bit-width of the result, 1...8.
        signed: whether the range of the result is signed.
    """

    multiplier: Tensor
    shift: int
    row: Tensor | None
    row_shift: int
    bias: Tensor | None
    zero_point: int
    bits: int
    signed: bool

    @classmethod
    def of(cls, requantization: Requantization, row: FixedPoint | None) -> Self:
        """Return the arguments for a requantization with row scales, or without row scales if ``row`` is None.

        Raises:
            TypeError: for other types.
        """
        if not isinstance(requantization, Requantization):
            raise TypeError(f"requantization must be a Requantization, not {type(requantization).__name__}")
        if row is not None:
            if not isinstance(row, FixedPoint):
                raise TypeError(f"row must be a FixedPoint or None, not {type(row).__name__}")
            check_tensor("row.mantissa", row.mantissa)
        return cls(
            requantization.multiplier,
            requantization.shift,
            None if row is None else row.mantissa,
            0 if row is None else requantization.row_shift,
            requantization.bias,
            requantization.zero_point,
            requantization.range.bits,
            requantization.range.signed,
        )

    @property
    def range(self) -> IntegerRange:
        """Range of the result."""
        return _integer_range(self.bits, self.signed)

    def check(self, rows: int, columns: int) -> None:
        """Check dtypes and shapes against those of the sums.

        Raises:
            TypeError: for other dtypes.
            InputError: for shapes that do not fit.
        """
        check_zero_point(self.zero_point)
        check_entries("multiplier of a requantization", self.multiplier, torch.int64, columns, or_one=True)
        check_entries("row of a requantization", self.row, torch.int32, rows)
        check_entries("bias of a requantization", self.bias, torch.int64, columns)
        if not 1 <= self.shift <= 40 or not 0 <= self.row_shift < 64:
            raise InputError(f"shift {self.shift} is outside 1...40, or row shift {self.row_shift} outside 0...63")

    def contiguous(self) -> Self:
        """Return the group with contiguous tensors."""
        if self.multiplier.is_contiguous() and _is_contiguous(self.row) and _is_contiguous(self.bias):
            return self
        return self._replace(
            multiplier=self.multiplier.contiguous(),
            row=None if self.row is None else self.row.contiguous(),
            bias=None if self.bias is None else self.bias.contiguous(),
        )


def _integer(what: str, value: SupportsIndex) -> int:
    if isinstance(value, int):
        return value
    try:
        return index(value)
    except TypeError:
        raise TypeError(f"{what} must be an integer, not {type(value).__name__}") from None


def check_entries(name: str, tensor: Tensor | None, dtype: torch.dtype, count: int, or_one: bool = False) -> None:
    """Check the dtype and the number of entries of a tensor that belongs to sums of ``count`` rows or columns.

    Raises:
        TypeError: for another dtype.
        InputError: for another number of entries.
    """
    if tensor is None:
        return
    if tensor.dtype != dtype:
        raise TypeError(f"{name} is {dtype}, not {tensor.dtype}")
    if tensor.numel() != count and not (or_one and tensor.numel() == 1):
        raise InputError(f"{name} has {tensor.numel()} entries where the sums have {count}")


def _is_contiguous(tensor: Tensor | None) -> bool:
    return tensor is None or tensor.is_contiguous()
