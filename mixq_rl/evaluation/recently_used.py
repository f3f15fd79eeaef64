"""A cache of the values used last, up to a number of bytes."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["RecentlyUsed"]

Value = TypeVar("Value")


class RecentlyUsed(Generic[Value]):
    """Values by key. Beyond the limit, those used least recently are dropped.

    Args:
        limit: maximum size of all values together, in bytes.

    Attributes:
        limit: as given.
        nbytes: size of the values held, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.nbytes = 0
        self._held: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def values(self) -> list[Value]:
        """Return the values held, the one used last at the end."""
        return [value for value, _ in self._held.values()]

    def get(self, key: Hashable) -> Value | None:
        """Return the value of a key, or None if it is not held."""
        if key not in self._held:
            return None
        self._held.move_to_end(key)
        return self._held[key][0]

    def hold(self, key: Hashable, value: Value, nbytes: int) -> None:
        """Hold a value, unless it alone is beyond the limit.

        Args:
            key: a key that has no value yet.
            value: the value.
            nbytes: its size in bytes.
        """
        if nbytes > self.limit:
            return
        self._held[key] = value, nbytes
        self.nbytes += nbytes
        while self.nbytes > self.limit:
            _, (_, dropped) = self._held.popitem(last=False)
            self.nbytes -= dropped
