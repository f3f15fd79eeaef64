"""Rows of arrays in ``.npy`` files, which are read when they are needed."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixq_rl.datasets.array_files import ArrayHeader, read_header
from mixq_rl.errors import ArtifactError, DataNotFoundError, InvalidGraphError
from mixq_rl.printable import printable
from mixq_rl.storage.reading import open_regular

__all__ = ["ArrayRows"]

_START = 12  # bytes that a header's reader looks at
_DTYPES = {
    name: torch.from_numpy(np.empty(0, name)).dtype
    for name in ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
}


class ArrayRows:
    """Array of numbers in a ``.npy`` file, of which slices of rows are read.

    Args:
        path: path of the file.
        narrowed: whether slices of a floating-point array are float32.

    Attributes:
        path: path of the file.
        shape: shape of the array.
        dtype: dtype of its slices.

    Raises:
        DataNotFoundError: if the file does not exist, or is no regular file.
        InvalidGraphError: if it holds no array of numbers, row after row, in the byte order of this machine.
    """

    def __init__(self, path: Path, *, narrowed: bool = False) -> None:
        self.path, self._name = path, printable(path.name)
        header, self._offset = self._header()
        if header.dtype.name not in _DTYPES or not header.shape or (header.by_column and len(header.shape) > 1):
            raise InvalidGraphError(
                f"{self._name} holds {header.dtype} of shape {list(header.shape)}: write real numbers, row after row, "
                f"by numpy.save(..., numpy.ascontiguousarray(x))"
            )
        if not header.dtype.isnative:
            raise InvalidGraphError(
                f"{self._name} holds {header.dtype}, in other byte order than this machine's: write "
                f"{self._name.removesuffix('.npy')}.astype('{header.dtype.name}')"
            )
        self.shape = header.shape
        self._dtype = header.dtype
        self.dtype = torch.float32 if narrowed and header.dtype.kind == "f" else _DTYPES[header.dtype.name]

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return int(np.prod(self.shape)) * self._dtype.itemsize

    def __getitem__(self, rows: slice) -> Tensor:
        """Return a slice of rows with a step of 1, in memory of its own.

        Raises:
            InvalidGraphError: if the file has become shorter.
            OSError: if it cannot be read.
        """
        begin, end, _ = rows.indices(self.shape[0])
        array = np.empty((max(end - begin, 0), *self.shape[1:]), self._dtype)
        room = array.reshape(-1).data.cast("B") if array.size else memoryview(b"")
        with self.path.open("rb", buffering=0) as file:
            file.seek(self._offset + begin * (self._dtype.itemsize * int(np.prod(self.shape[1:]))))
            filled = 0
            while filled < len(room):
                found = file.readinto(room[filled:])
                if not found:
                    raise InvalidGraphError(f"{self._name} became shorter while it was read")
                filled += found
        return torch.from_numpy(array).to(self.dtype)

    def _header(self) -> tuple[ArrayHeader, int]:
        """Return the header, and the place of the first value."""
        try:
            with open_regular(self.path, follow=True) as file:
                start = file.read(_START)
                size = file.seek(0, 2)
                file.seek(0)
                return read_header(file, size, start, self._name.removesuffix(".npy")), file.tell()
        except FileNotFoundError as error:
            raise DataNotFoundError(f"{printable(str(self.path))} does not exist") from error
        except ArtifactError as error:
            raise DataNotFoundError(str(error)) from error
        except ValueError as error:
            raise InvalidGraphError(f"{self._name} holds {error}") from error
