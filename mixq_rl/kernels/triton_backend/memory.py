"""What was computed of a tensor, remembered for as long as the tensor lives and is not written to."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["Memory"]

Value = TypeVar("Value")


class Memory(Generic[Value]):
    """Values by tensor and key."""

    def __init__(self) -> None:
        self._known = WeakTensorKeyDictionary()

    def recall(self, tensor: Tensor, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return what ``compute`` returned for the tensor and the key; call it if it is not known."""
        if tensor.is_inference():  # which does not tell whether it was written to
            return compute()
        version, values = self._known.get(tensor, (None, {}))
        if version != tensor._version:
            values = {}
            self._known[tensor] = (tensor._version, values)
        if key not in values:
            values[key] = compute()
        found: Value = values[key]
        return found
