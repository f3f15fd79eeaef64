"""Data of the tensors in a ``.pt`` file, by key."""

import sys
import zipfile
from typing import BinaryIO, Protocol

import torch

from mixq_rl.datasets.inert import Named, Objects, Stored
from mixq_rl.datasets.plain_pickle import read_pickle

__all__ = ["STORAGES", "LegacyStorages", "Storages", "ZippedStorages"]

STORAGES = {
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "ShortStorage": torch.int16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
"""Dtypes of the values of a storage, by the name of its class."""

_LOCAL_HEADER = 30
_COUNT_BYTES = 8
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


class Storages(Protocol):
    """Data of tensors by key."""

    def data(self, key: str) -> bytearray:
        """Return the data of a storage.

        Raises:
            ValueError: if there are no such data.
        """


class ZippedStorages:
    """Data of tensors in the records of a zip archive, which is what ``torch.save`` writes since torch 1.6.

    Args:
        file: the file, open for reading.
        archive: the archive in it.
        file_bytes: size of the file.

    Attributes:
        pickle: the pickle in the archive.

    Raises:
        ValueError: if the archive has no pickle, or was written on a machine of another byte order.
    """

    def __init__(self, file: BinaryIO, archive: zipfile.ZipFile, file_bytes: int) -> None:
        self._file, self._file_bytes = file, file_bytes
        self._records = {record.filename: record for record in archive.infolist()}
        if sum(record.file_size for record in self._records.values()) > file_bytes:
            raise ValueError("compressed tensors, which torch.save does not write")
        places = [name for name in self._records if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(places) != 1:
            raise ValueError("an archive that torch.save did not write")
        self._folder = places[0].removesuffix("data.pkl")
        self.pickle = self._read(places[0])
        order = f"{self._folder}byteorder"
        if order in self._records and self._read(order) != sys.byteorder.encode():
            raise ValueError("tensors of a machine of another byte order")

    def data(self, key: str) -> bytearray:
        return self._read(f"{self._folder}data/{key}")

    def _read(self, name: str) -> bytearray:
        record = self._records.get(name)
        if record is None:
            raise ValueError("a tensor without its data")
        if record.compress_type != zipfile.ZIP_STORED or record.compress_size != record.file_size:
            raise ValueError("compressed tensors, which torch.save does not write")
        self._file.seek(record.header_offset)
        header = self._file.read(_LOCAL_HEADER)
        start = record.header_offset + _LOCAL_HEADER
        start += int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        if len(header) < _LOCAL_HEADER or start + record.file_size > self._file_bytes:
            raise ValueError("a tensor without its data")
        self._file.seek(start)
        content = bytearray(record.file_size)
        if self._file.readinto(content) < record.file_size:  # type: ignore[attr-defined]
            raise ValueError("a tensor without its data")
        return content


class LegacyStorages:
    """Data of tensors behind the pickles of a file, which is what ``torch.save`` wrote before torch 1.6.

    Args:
        content: content of the file.
        objects: counter of the values in the pickles.

    Attributes:
        value: what was saved, with inert tensors.

    Raises:
        ValueError: if the file is no such file.
    """

    def __init__(self, content: bytes, objects: Objects) -> None:
        self._content = content
        magic, place = read_pickle(content, objects)
        protocol, place = read_pickle(content, objects, place)
        if type(magic) is not int or magic != _MAGIC or type(protocol) is not int or protocol != _PROTOCOL:
            raise ValueError("it is not a file of torch.save")
        machine, place = read_pickle(content, objects, place)
        if not isinstance(machine, dict) or machine.get("little_endian") is not (sys.byteorder == "little"):
            raise ValueError("tensors of a machine of another byte order")
        self.value, place = read_pickle(content, objects, place)
        keys, place = read_pickle(content, objects, place)
        itemsizes = dict(_key_and_itemsize(stored) for stored in objects.stored)
        self._places: dict[str, tuple[int, int]] = {}
        for key in keys if isinstance(keys, list) else ():
            if not isinstance(key, str) or key not in itemsizes:
                raise ValueError("tensors without their data")
            size = int.from_bytes(content[place : place + _COUNT_BYTES], "little") * itemsizes[key]
            place += _COUNT_BYTES
            self._places[key] = place, size
            place += size
        if place > len(content):
            raise ValueError("tensors without their data")

    def data(self, key: str) -> bytearray:
        if key not in self._places:
            raise ValueError("a tensor without its data")
        place, size = self._places[key]
        return bytearray(memoryview(self._content)[place : place + size])


def _key_and_itemsize(stored: Stored) -> tuple[str, int]:
    identity = stored.identity
    if isinstance(identity, tuple) and len(identity) == 6 and identity[0] == "storage":
        _, storage, key, _, _, view = identity
        if isinstance(storage, Named) and isinstance(key, str) and storage.name in STORAGES and view is None:
            return key, STORAGES[storage.name].itemsize
    raise ValueError("tensors of a kind that torch no longer writes")
