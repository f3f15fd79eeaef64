"""Inert values that stand for the objects of a pickle."""

from dataclasses import dataclass
from typing import Any

__all__ = ["Named", "Objects", "Saved", "Stored"]


@dataclass(frozen=True, slots=True)
class Named:
    """Name of a class or function in a pickle.

    Attributes:
        module: name of the module: ``"numpy"``.
        name: name in the module: ``"ndarray"``.
    """

    module: str
    name: str


@dataclass(slots=True, eq=False)
class Saved:
    """Object in a pickle: what would be called, with which arguments, and the state that it would get.

    Attributes:
        made_by: class or function, usually :class:`Named`.
        arguments: arguments of the call, usually a tuple.
        state: the state; None if there is none.
        items: entries that would be set, as in a dictionary; None if there are none.
    """

    made_by: Any
    arguments: Any
    state: Any = None
    items: dict[Any, Any] | None = None


@dataclass(slots=True, eq=False)
class Stored:
    """Reference to data outside of the pickle.

    Attributes:
        identity: what the pickle says of the data.
    """

    identity: Any


class Objects:
    """Counter of the instructions of a pickle that are read.

    Args:
        most: greatest number of instructions.

    Attributes:
        stored: the references to data that were read.
    """

    def __init__(self, most: int) -> None:
        self.left = most
        self.stored: list[Stored] = []

    def take(self) -> None:
        """Count one instruction.

        Raises:
            ValueError: if it is one too many.
        """
        self.left -= 1
        if self.left < 0:
            raise ValueError("a pickle of more instructions than are read from a file of this size")
