"""Texts from outside, such as names of files and messages of errors, as text for one line of output."""

import os
import shlex
import unicodedata
from pathlib import Path

__all__ = ["first_line", "printable", "shell_word"]

_BYTES = range(0xDC80, 0xDD00)  # Python's stand-ins for the bytes of a file name that is not UTF-8 (PEP 383)

_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format, surrogate; separators of lines and paragraphs


def printable(text: str, *, keep: str = "") -> str:
    r"""Return text with escapes in place of characters that do not print.

    These are control characters, marks that change the direction of writing, separators of lines, and bytes that are
    not UTF-8. The escapes are Python's: ``\x1b``, ``\n``, ``\u202e``, and ``\xff`` for a byte. The text that is
    returned can be encoded in UTF-8.

    Args:
        text: any text.
        keep: characters that are not escaped.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter in keep or _prints(letter) else _escape(letter) for letter in text)


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or the name of its class if there is no message."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__


def shell_word(name: str | Path) -> str:
    r"""Return a name as one word for a shell.

    A name with characters that do not print is written in ANSI-C quotes, ``$'\377.npz'``, which bash, zsh and ksh read.
    """
    text = str(name)
    if printable(text) == text:
        return shlex.quote(text)
    letters = (f"\\{letter}" if letter in "\\'" else letter if _prints(letter) else _octal(letter) for letter in text)
    return f"$'{''.join(letters)}'"


def _prints(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) not in _HIDDEN


def _escape(letter: str) -> str:
    if ord(letter) in _BYTES:
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")


def _octal(letter: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(letter))
