"""Memory of results computed from a tensor, valid while the tensor exists and torch does not write to it."""

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar
from weakref import ref

from torch import Tensor

__all__ = ["Memory"]

Value = TypeVar("Value")


class Memory(Generic[Value]):
    """Memory of values, by tensor and key.

    Writes by numpy or another process to the memory of a tensor are not noticed.
    """

    def __init__(self) -> None:
        # By identity, since tensors compare by their entries; torch's dictionary for this takes three times as long.
        self._known: dict[int, tuple[ref[Tensor], tuple[int, ...], dict[Hashable, Value]]] = {}

    def recall(self, tensor: Tensor, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return the value for the tensor and the key; call ``compute`` for it if there is none."""
        if tensor.is_inference():  # it does not record writes
            return compute()
        state = (tensor._version, tensor.data_ptr(), tensor.numel())
        entry = self._known.get(id(tensor))
        if entry is None or entry[0]() is not tensor or entry[1] != state:
            identity = id(tensor)

            def forget(_: Any) -> None:
                self._known.pop(identity, None)

            entry = (ref(tensor, forget), state, {})
            self._known[identity] = entry
        values = entry[2]
        if key not in values:
            values[key] = compute()
        return values[key]
