"""Arrays of ``.npz`` and ``.npy`` files, with their sizes checked before they are read."""

import math
import warnings
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import IO, Any, BinaryIO

import numpy as np

from mixq_rl.datasets.memory_limit import check_memory
from mixq_rl.datasets.zip_files import open_zip

__all__ = ["ArrayArchive", "ArrayHeader", "read_array", "read_header"]

_SUFFIX = ".npy"
_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000
_MOST_DIMENSIONS = 8
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_LONGEST_TEXT = 64


@dataclass(frozen=True)
class ArrayHeader:
    """Header of an array in a file.

    Attributes:
        shape: sizes of the dimensions.
        dtype: a boolean, integer, floating-point or complex dtype, or a short text.
        by_column: whether the values are column after column, in Fortran's order.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    by_column: bool = False

    def bytes_as(self, itemsize: int) -> int:
        """Return the memory of the array or of its conversion to values of ``itemsize`` bytes, whichever is greater."""
        return math.prod(self.shape) * max(self.dtype.itemsize, itemsize)


class ArrayArchive:
    """``.npz`` archive that is open for reading. Records with other names than ``names`` are not looked at.

    Args:
        file: the file, open for reading.
        file_bytes: its size.
        names: names of the arrays that may be read.
        optional: those among them that may be anything: they have no header if they cannot be read.
        texts: those among them that may be arrays of text.

    Attributes:
        names: names of all records, without the suffix.
        headers: the headers of the arrays among ``names``.

    Raises:
        ValueError: if the file is no archive, or one of the arrays has not the size that its header says, or holds
            anything else than numbers.
    """

    def __init__(
        self,
        file: BinaryIO,
        file_bytes: int,
        names: Collection[str],
        *,
        optional: Collection[str] = (),
        texts: Collection[str] = (),
    ) -> None:
        self._archive = open_zip(file, file_bytes)
        self._records = {record.filename.removesuffix(_SUFFIX): record for record in self._archive.infolist()}
        self.names = list(self._records)
        self.headers: dict[str, ArrayHeader] = {}
        for name in names:
            if name in self._records:
                try:
                    self.headers[name] = self._header(name, is_text=name in texts)
                except ValueError:
                    if name not in optional:
                        raise

    def check_memory(self, itemsizes: Mapping[str, int], file_bytes: int, expected: int = 0) -> None:
        """Check the memory that all arrays take together, as :func:`~mixq_rl.datasets.memory_limit.check_memory` does.

        Args:
            itemsizes: bytes of a value after conversion, for arrays that will be converted.
            file_bytes: size of the file.
            expected: bytes that a known dataset takes.
        """
        total = sum(header.bytes_as(itemsizes.get(name, 0)) for name, header in self.headers.items())
        check_memory(total, "arrays", file_bytes, expected)

    def read(self, name: str) -> np.ndarray:
        """Return the array of a name among ``headers``.

        Raises:
            ValueError: if it cannot be read.
        """
        with self._open(name) as record:
            return read_array(record)

    def _open(self, name: str) -> IO[bytes]:
        record = self._records[name]
        if record.compress_type not in _METHODS:
            raise ValueError(f"an array {name} that is compressed in another way than numpy.savez_compressed does")
        return self._archive.open(record)

    def _header(self, name: str, *, is_text: bool) -> ArrayHeader:
        with self._open(name) as record:
            start = record.read(12)
        if not start.startswith(_MAGIC):
            raise ValueError(f"an entry {name} that is no array")
        with self._open(name) as record:
            return read_header(record, self._records[name].file_size, start, name, is_text=is_text)


def read_header(file: Any, file_bytes: int, start: bytes, name: str, *, is_text: bool = False) -> ArrayHeader:
    """Return the header of an array.

    Args:
        file: the file, open for reading at its beginning.
        file_bytes: number of bytes of header and values.
        start: the first 12 bytes of the file.
        name: name of the array, for messages.
        is_text: whether the values may be texts.

    Raises:
        ValueError: if the header is damaged, does not fit the size, or says that values are no numbers.
    """
    width = 2 if start[6:7] == b"\1" else 4
    length = int.from_bytes(start[8 : 8 + width], "little")
    if not start.startswith(_MAGIC) or length > _LONGEST_HEADER:
        raise ValueError(f"an array {name} with a damaged header")
    try:
        with warnings.catch_warnings(action="ignore"):
            shape, by_column, dtype = _READERS[np.lib.format.read_magic(file)](file, _LONGEST_HEADER)
    except Exception as error:  # the header is an expression of Python, of which parsers raise exceptions of any kind
        raise ValueError(f"an array {name} with a damaged header") from error
    if dtype.hasobject:
        remedy = f"save {name}.astype(" + ("str)" if is_text else "'float32')")
        raise ValueError(f"an array {name} of objects, which only unpickling would read: {remedy}")
    few = is_text or (dtype.itemsize <= _LONGEST_TEXT and not shape)
    if dtype.kind not in "biufc" and not (dtype.kind in "SU" and few and dtype.names is None):
        raise ValueError(f"an array {name} of other values than numbers")
    if len(shape) > _MOST_DIMENSIONS or any(size < 0 for size in shape):
        raise ValueError(f"an array {name} of a damaged shape")
    if math.prod(shape) * dtype.itemsize != file_bytes - 8 - width - length:
        raise ValueError(f"an array {name} whose shape does not fit the number of its bytes")
    return ArrayHeader(shape, dtype, by_column)


def read_array(file: Any) -> np.ndarray:
    """Return the array in a file whose header was checked.

    Raises:
        ValueError: if it cannot be read.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False, max_header_size=_LONGEST_HEADER)
    except (zipfile.BadZipFile, EOFError, MemoryError) as error:
        raise ValueError("an array that is damaged") from error
    return array
