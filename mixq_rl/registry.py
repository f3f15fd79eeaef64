"""Registry of objects by name, with helpful errors for unknown names."""

import difflib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from mixq_rl.errors import UnknownNameError

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Mapping of names to objects. Lookups ignore case.

    Args:
        noun: noun for an entry in error messages: ``"dataset"``.

    Example:
        >>> models = Registry[type]("model")
        >>> models.register("gcn")(dict)
        <class 'dict'>
        >>> models["GCN"]
        <class 'dict'>
    """

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers its object under ``name``."""

        def enter(entry: T) -> T:
            self._entries[name] = entry
            return entry

        return enter

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __getitem__(self, name: str) -> T:
        """Return the entry with a name.

        Raises:
            UnknownNameError: for an unknown name; the message lists the known names and the nearest.
        """
        canonical = {known.lower(): known for known in self._entries}
        if name.lower() in canonical:
            return self._entries[canonical[name.lower()]]
        nearest = difflib.get_close_matches(name.lower(), canonical, n=1, cutoff=0.5)
        hint = f"; did you mean {canonical[nearest[0]]!r}?" if nearest else ""
        raise UnknownNameError(f"unknown {self.noun} {name!r}: known are {', '.join(self._entries)}{hint}")
