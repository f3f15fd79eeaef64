"""Zip archives of arrays, opened with a bound on the list of their records."""

import zipfile
from typing import BinaryIO, cast

__all__ = ["open_zip"]

_LIST_BYTES = 2**23
_LIST_SHARE = 8  # the list of an honest archive of many small records takes a twentieth of it


def open_zip(file: BinaryIO, file_bytes: int) -> zipfile.ZipFile:
    """Return an archive that is open for reading, without encryption and without two records of one name.

    Args:
        file: the file, open for reading.
        file_bytes: its size.

    Raises:
        ValueError: if it is no such archive.
    """
    bounded = _BoundedReads(file, max(_LIST_BYTES, file_bytes // _LIST_SHARE))
    try:
        archive = zipfile.ZipFile(cast(BinaryIO, bounded))
    except (zipfile.BadZipFile, NotImplementedError, OverflowError) as error:
        raise ValueError("it is not an archive of arrays") from error
    records = archive.infolist()
    if len({record.filename for record in records}) < len(records):
        raise ValueError("an archive with two records of the same name")
    if any(record.flag_bits & 1 for record in records):
        raise ValueError("an encrypted archive")
    return archive


class _BoundedReads:
    """File of which no read takes more than ``most`` bytes at once: an archive says itself how long its list is."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file, self._most = file, most
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size if 0 <= size <= self._most else self._most + 1)
        if len(content) > self._most:
            raise ValueError("an archive with a list of records as long as its content")
        return content

    def close(self) -> None:
        pass
