"""What was found out of a tensor, remembered for as long as the tensor lives and torch does not write to it."""

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar
from weakref import ref

from torch import Tensor

__all__ = ["Memory"]

Value = TypeVar("Value")


class Memory(Generic[Value]):
    """Values by tensor and key.

    What writes to a tensor's memory behind torch's back (numpy, another process) is not seen.
    """

    def __init__(self) -> None:
        # By identity, since tensors compare by their entries; torch's dictionary for this takes three times as long.
        self._known: dict[int, tuple[ref[Tensor], tuple[int, ...], dict[Hashable, Value]]] = {}

    def recall(self, tensor: Tensor, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return what ``compute`` returned for the tensor and the key; call it if it is not known."""
        if tensor.is_inference():  # which does not tell whether it was written to
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
