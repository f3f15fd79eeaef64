"""Tensors of ``.pt`` files, without unpickling, and with their sizes checked before they are read."""

import math
import os
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from mixq_rl.datasets.inert import Named, Objects, Saved, Stored
from mixq_rl.datasets.memory_limit import VALUE_BYTES, check_memory, memory_limit
from mixq_rl.datasets.pickled_arrays import is_array, read_pickled_array, size_of_array
from mixq_rl.datasets.plain_pickle import read_pickle
from mixq_rl.datasets.tensor_storages import STORAGES, LegacyStorages, Storages, ZippedStorages
from mixq_rl.datasets.zip_files import open_zip

__all__ = ["TensorFile", "is_torch_object"]

_TENSOR = Named("torch._utils", "_rebuild_tensor_v2")
_TENSOR_OF_DTYPE = Named("torch._utils", "_rebuild_tensor_v3")
_PARAMETER = Named("torch._utils", "_rebuild_parameter")
_ORDERED = Named("collections", "OrderedDict")
_UNTYPED = ("UntypedStorage", "_UntypedStorage")
_DTYPES = {"uint16": torch.uint16, "uint32": torch.uint32, "uint64": torch.uint64}
_MOST_DIMENSIONS = 8
_ZIP = b"PK\x03\x04"


class TensorFile:
    """``.pt`` file of ``torch.save`` that is open for reading, in the format of today or that before torch 1.6.

    Args:
        file: the file, open for reading.

    Attributes:
        value: what was saved. Tensors and other objects in it are inert: :meth:`tensor` reads one.
        file_bytes: size of the file.

    Raises:
        ValueError: if the file is no such file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file_bytes = os.fstat(file.fileno()).st_size
        objects = Objects(memory_limit(self.file_bytes) // VALUE_BYTES)
        beginning = file.read(len(_ZIP))
        file.seek(0)
        self._storages: Storages
        self._data: dict[str, bytearray] = {}
        if beginning == _ZIP:
            zipped = ZippedStorages(file, open_zip(file, self.file_bytes), self.file_bytes)
            self.value, _ = read_pickle(zipped.pickle, objects)
            self._storages = zipped
        else:
            legacy = LegacyStorages(file.read(self.file_bytes), objects)
            self.value = legacy.value
            self._storages = legacy
        if isinstance(self.value, Saved) and self.value.made_by == _ORDERED and self.value.arguments == ():
            self.value = self.value.items or {}

    def check_memory(self, tensors: Iterable[tuple[Any, int]]) -> None:
        """Check the memory that tensors take together, as :func:`~mixq_rl.datasets.memory_limit.check_memory` does.

        Args:
            tensors: inert tensors, each with the bytes of a value after conversion; other values are not counted.
        """
        total = 0
        for inert, itemsize in tensors:
            if is_array(inert):
                shape, own = size_of_array(inert)
                total += math.prod(shape) * max(own, itemsize)
            elif (found := _description(inert)) is not None:
                total += math.prod(found[2]) * max(found[1].itemsize, itemsize)
        check_memory(total, "tensors", self.file_bytes)

    def shape(self, inert: Any) -> tuple[int, ...] | None:
        """Return the shape of a tensor that :meth:`tensor` reads, None for anything else."""
        if is_array(inert):
            return size_of_array(inert)[0]
        found = _description(inert)
        return None if found is None else found[2]

    def tensor(self, inert: Any) -> Tensor | None:
        """Return a tensor, or an array of NumPy as a tensor; None for anything else than a dense, real tensor.

        Raises:
            ValueError: if the tensor exceeds its data, or the data are damaged.
        """
        if is_array(inert):
            return torch.from_numpy(_native(read_pickled_array(inert)))
        found = _description(inert)
        if found is None:
            return None
        key, dtype, size, stride, offset = found
        values = torch.empty(0, dtype=dtype)
        last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
        if math.prod(size):
            data = self._data[key] if key in self._data else self._data.setdefault(key, self._storages.data(key))
            if (last + 1) * dtype.itemsize > len(data):
                raise ValueError("a tensor that is greater than its data")
            values = torch.frombuffer(data, dtype=dtype, count=len(data) // dtype.itemsize)
        else:
            offset = 0
        return values.as_strided(size, stride, offset)


def _native(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def is_torch_object(inert: Any) -> bool:
    """Return whether a value of a file is an object of torch's own, such as a sparse or a complex tensor."""
    if not isinstance(inert, Saved) or not isinstance(inert.made_by, Named):
        return False
    return inert.made_by.module.split(".")[0] == "torch"


def _description(inert: Any) -> tuple[str, torch.dtype, tuple[int, ...], tuple[int, ...], int] | None:
    """Return key of the storage, dtype, size, stride and offset of a tensor; None for anything else."""
    if not isinstance(inert, Saved) or not isinstance(inert.arguments, tuple) or inert.state is not None:
        return None
    if inert.made_by == _PARAMETER and len(inert.arguments) == 3:
        inert = inert.arguments[0]
        if not isinstance(inert, Saved) or not isinstance(inert.arguments, tuple):
            return None
    dtype: torch.dtype | None = None
    if inert.made_by == _TENSOR and len(inert.arguments) == 6:
        stored, offset, size, stride, *_ = inert.arguments
    elif inert.made_by == _TENSOR_OF_DTYPE and len(inert.arguments) == 7:
        stored, offset, size, stride, *_, named = inert.arguments
        dtype = _DTYPES.get(named.name) if isinstance(named, Named) and named.module == "torch" else None
        if dtype is None:
            return None
    else:
        return None
    if not isinstance(stored, Stored) or not isinstance(stored.identity, tuple) or len(stored.identity) < 5:
        return None
    word, storage, key, location, _ = stored.identity[:5]
    if word != "storage" or not isinstance(key, str) or not isinstance(storage, Named) or location == "meta":
        return None
    if dtype is None:
        dtype = STORAGES.get(storage.name)
    elif storage.name not in _UNTYPED:
        return None
    if (
        dtype is None
        or dtype.is_complex
        or not _are_counts((offset,))
        or not _are_counts(size)
        or not _are_counts(stride)
    ):
        return None
    if len(size) != len(stride) or len(size) > _MOST_DIMENSIONS:
        return None
    return key, dtype, size, stride, offset


def _are_counts(values: Any) -> bool:
    return isinstance(values, tuple) and all(type(value) is int and 0 <= value < 2**48 for value in values)
