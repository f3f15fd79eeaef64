"""Content of files in messages: short, in one line, and without control characters."""

from collections.abc import Sequence

from mixq_rl.printable import printable

__all__ = ["in_one_line", "listed"]

_LONGEST = 200
_LISTED = 8
_LONGEST_NAME = 40


def in_one_line(text: str, longest: int = _LONGEST) -> str:
    """Return a text that may come from a file, cut to ``longest`` characters.

    Control characters are escaped, and so are spaces that are not the usual one: they would look like it.
    """
    start = printable(text[: longest + 1])
    safe = "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in start)
    return safe if len(safe) <= longest else f"{safe[: longest - 3]}..."


def listed(names: Sequence[str]) -> str:
    """Return the first names of a sequence, or ``"nothing"``."""
    first = [in_one_line(name, _LONGEST_NAME) for name in names[:_LISTED]]
    return ", ".join(first + ["..."] * (len(names) > _LISTED)) or "nothing"
