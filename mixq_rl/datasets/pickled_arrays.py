"""NumPy arrays in a pickle that was read as plain values."""

import math
from typing import Any

import numpy as np

from mixq_rl.datasets.inert import Named, Saved

__all__ = ["is_array", "read_pickled_array", "size_of_array"]

_RECONSTRUCT = (Named("numpy.core.multiarray", "_reconstruct"), Named("numpy._core.multiarray", "_reconstruct"))
_ARRAY = Named("numpy", "ndarray")
_DTYPE = Named("numpy", "dtype")
_ENCODE = Named("_codecs", "encode")  # Python 3 writes bytes so for Python 2
_BYTES = (Named("__builtin__", "bytes"), Named("builtins", "bytes"))
_KINDS = ("b", "i", "u", "f")


def is_array(value: Any) -> bool:
    """Return whether a value of a pickle is an array of NumPy, perhaps a damaged one."""
    return isinstance(value, Saved) and isinstance(value.made_by, Named) and value.made_by in _RECONSTRUCT


def size_of_array(value: Any) -> tuple[tuple[int, ...], int]:
    """Return the shape of an array, and the bytes of each of its values.

    Raises:
        ValueError: if the value is no array of numbers of at most two dimensions.
    """
    shape, dtype, *_ = _parts(value)
    return shape, dtype.itemsize


def read_pickled_array(value: Any) -> np.ndarray:
    """Return a copy of an array of numbers.

    Raises:
        ValueError: if the value is no array of numbers of at most two dimensions.
    """
    shape, dtype, by_columns, content = _parts(value)
    data = _plain_bytes(content)
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError("an array of a damaged shape")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_columns else "C").copy(order="K")


def _parts(value: Any) -> tuple[tuple[int, ...], np.dtype, bool, Any]:
    if not is_array(value) or not _is_tuple(value.state, 5):
        raise ValueError("a pickle of something else than an array")
    if not _is_tuple(value.arguments, 3) or value.arguments[0] != _ARRAY:
        raise ValueError("a pickle of something else than an array")
    _, shape, dtype, by_columns, content = value.state
    if not isinstance(shape, tuple) or not all(type(size) is int and 0 <= size < 2**48 for size in shape):
        raise ValueError("an array of a damaged shape")
    if len(shape) > 2:
        raise ValueError("an array of more than two dimensions")
    return shape, _dtype(dtype), by_columns is True, content


def _dtype(value: Any) -> np.dtype:
    if not isinstance(value, Saved) or value.made_by != _DTYPE or not isinstance(value.arguments, tuple):
        raise ValueError("an array of a damaged dtype")
    name = value.arguments[0] if value.arguments else None
    if not isinstance(name, str) or len(name) != 2 or name[0] not in _KINDS or name[1] not in "1248":
        raise ValueError("an array of other values than numbers")
    order = value.state[1] if isinstance(value.state, tuple) and len(value.state) > 1 else "|"
    if not isinstance(order, str) or order not in ("<", ">", "|", "="):
        raise ValueError("an array of a damaged dtype")
    return np.dtype(name if order in ("|", "=") else order + name)


def _plain_bytes(content: Any) -> bytes:
    if isinstance(content, Saved) and content.made_by == _ENCODE and _is_tuple(content.arguments, 2):
        content = content.arguments[0]
    if isinstance(content, Saved) and content.made_by in _BYTES and content.arguments == ():
        return b""
    if isinstance(content, str):
        return content.encode("latin1")
    if not isinstance(content, bytes):
        raise ValueError("an array without its values")
    return content


def _is_tuple(value: Any, length: int) -> bool:
    return isinstance(value, tuple) and len(value) == length
