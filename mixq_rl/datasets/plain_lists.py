"""Lists of plain numbers and texts, as tensors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixq_rl.datasets.memory_limit import check_memory

__all__ = ["read_list", "read_texts"]

_MISSING = ("", "nan", "None", "<NA>", "NaT")
_NUMBERS = (bool, int, float)


def read_list(value: Any) -> Tensor | None:
    """Return numbers, a list of numbers, or a list of such lists of one length as a tensor; None for anything else.

    Integers become int64, all others float64.

    Raises:
        ExcessError: if the tensor would take too much memory.
    """
    if type(value) in _NUMBERS:
        return _tensor([value])
    if not isinstance(value, list) or not value:
        return None
    if all(type(item) in _NUMBERS for item in value):
        return _tensor(value)
    if not all(isinstance(item, list) for item in value):
        return None
    check_memory(8 * sum(len(item) for item in value), "lists", 0)
    if any(len(item) != len(value[0]) or any(type(number) not in _NUMBERS for number in item) for item in value):
        return None
    return _tensor([number for item in value for number in item]).reshape(len(value), -1)


def read_texts(texts: np.ndarray) -> tuple[Tensor, list[str]]:
    """Return the number of each text in the list of all distinct texts, -1 for none, and the list.

    A text is none if it is empty, or what ``astype(str)`` makes of a missing value: ``"nan"``, ``"None"``, ``"<NA>"``.

    Args:
        texts: unicode or bytes, ``[rows]``.
    """
    if texts.dtype.kind == "S":
        texts = np.char.decode(texts, "utf-8", "replace")
    names, numbers = np.unique(texts, return_inverse=True)
    number_of = torch.from_numpy(numbers.reshape(-1))
    is_known = np.array([str(name) not in _MISSING for name in names], dtype=bool)
    renumbered = torch.from_numpy(np.where(is_known, is_known.cumsum() - 1, -1))
    return renumbered[number_of], [str(name) for name in names[is_known]]


def _tensor(numbers: list[Any]) -> Tensor:
    if any(type(number) is float for number in numbers):
        return torch.tensor(numbers, dtype=torch.float64)
    return torch.from_numpy(np.array(numbers, dtype=np.int64))
