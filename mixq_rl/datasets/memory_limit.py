"""Limit on the memory that the arrays of a file take."""

from mixq_rl.storage.limits import ARRAYS

__all__ = ["VALUE_BYTES", "ExcessError", "check_memory", "memory_limit"]

VALUE_BYTES = 256
"""Memory that an instruction of a pickle takes at most, with the value that it makes, while it is read."""


class ExcessError(ValueError):
    """A file that would take too much memory. The message says what the file holds, and names the option."""


def memory_limit(file_bytes: int, expected: int = 0) -> int:
    """Return the greatest number of bytes in memory.

    Args:
        file_bytes: size of the file, which may always have twice its own size in memory.
        expected: bytes that a known dataset takes.
    """
    return max(ARRAYS.value, 2 * file_bytes, expected)


def check_memory(found: int, noun: str, file_bytes: int, expected: int = 0) -> None:
    """Check the memory that arrays will take, before they are read.

    Args:
        found: bytes of the arrays in memory.
        noun: what takes them: ``"arrays"``.
        file_bytes, expected: as in :func:`memory_limit`.

    Raises:
        ExcessError: if it is too much.
    """
    if found > memory_limit(file_bytes, expected):
        raise ExcessError(f"{noun} of {ARRAYS.excess(found)}")
