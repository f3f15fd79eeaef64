"""Matrices of integers of few bits, packed into bytes row by row."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from mixq_rl.quantization.integer_range import IntegerRange
from mixq_rl.storage.artifacts import storable

__all__ = ["PackedRows", "unpack_codes"]


def unpack_codes(data: Tensor, bits: int, columns: int) -> Tensor:
    """Return the codes of packed rows, uint8 ``[rows, columns]``.

    Args:
        data: uint8, ``[rows, ceil(columns * bits / 8)]``.
        bits: storage bits of one integer: 1, 2 or 4.
        columns: number of columns of the matrix.
    """
    parts = [(data >> shift) & (2**bits - 1) for shift in range(0, 8, bits)]
    return torch.stack(parts, dim=2).flatten(1)[:, :columns]


@storable
@dataclass(frozen=True)
class PackedRows:
    """Matrix of packed integers, in the form that kernels read and write.

    Integers of 5 to 8 bits are stored unchanged, one in each byte. Integers of 1, 2, 3 and 4 bits are stored as codes
    u = 0, 1, 2, ... that count the integers of the range from its minimum, in 1, 2, 4 and 4 bits of storage: the
    code of column f lies in byte ``f * storage_bits // 8`` of its row, ``f * storage_bits % 8`` bits up from the
    lowest. Each row begins at a byte of its own. An integer is ``range.step * u + range.offset``.

    Attributes:
        data: ``[rows, columns]`` int8 (signed range) or uint8 at 8 bits of storage, otherwise codes as uint8,
            ``[rows, ceil(columns * storage_bits / 8)]``.
        columns: number of columns of the matrix.
        range: range of the integers.

    Raises:
        TypeError: for data of another dtype.
        ValueError: for data of another shape.
    """

    data: Tensor
    columns: int
    range: IntegerRange

    def __post_init__(self) -> None:
        if self.data.dtype != self.range.storage_dtype:
            raise TypeError(f"rows of {self.range} are held as {self.range.storage_dtype}, not {self.data.dtype}")
        width = self.range.row_bytes(self.columns)
        if self.data.dim() != 2 or self.data.shape[1] != width:
            raise ValueError(
                f"{self.columns} columns of {self.range} take rows of {width} bytes, not {list(self.data.shape)}"
            )

    @classmethod
    def known(cls, data: Tensor, columns: int, offered: IntegerRange) -> Self:
        """Return packed rows whose dtype and shape are known to fit, without a check."""
        packed = object.__new__(cls)
        packed.__dict__.update(data=data, columns=columns, range=offered)
        return packed

    @classmethod
    def pack(cls, values: Tensor, offered: IntegerRange) -> Self:
        """Pack integers (int8 or uint8, ``[rows, columns]``) that lie within a range."""
        if values.dtype != offered.dtype:
            raise TypeError(f"integers of {offered} are {offered.dtype}, not {values.dtype}")
        rows, columns = values.shape
        if offered.storage_bits == 8:
            return cls(values.contiguous(), columns, offered)
        codes = (values > 0).to(torch.uint8) if offered.is_sign else (values - offered.minimum).view(torch.uint8)
        width, per_byte = offered.row_bytes(columns), 8 // offered.storage_bits
        if columns < width * per_byte:
            codes = torch.nn.functional.pad(codes, (0, width * per_byte - columns))
        data = codes[:, ::per_byte].clone()
        for part in range(1, per_byte):
            data |= codes[:, part::per_byte] << (part * offered.storage_bits)
        return cls(data.view(rows, width), columns, offered)

    def unpack(self) -> Tensor:
        """Return the integers, int8 or uint8, ``[rows, columns]``."""
        if self.range.storage_bits == 8:
            return self.data
        codes = unpack_codes(self.data, self.range.storage_bits, self.columns)
        return (codes.to(torch.int16) * self.range.step + self.range.offset).to(self.range.dtype)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return self.data.shape[0], self.columns

    @property
    def nbytes(self) -> int:
        """Number of bytes of the packed matrix."""
        return self.data.numel()
