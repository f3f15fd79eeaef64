"""Constraints as the texts of options: ``conv1.weight=8``, ``conv*.adjacency=4,8`` and ``64KB``."""

import re
from collections.abc import Sequence

from mixq_rl.errors import BitWidthError, InputError
from mixq_rl.quantization import check_bit_widths

__all__ = ["bit_widths_of", "parse_size"]

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(|[kmg]?b|[kmg]ib)", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1024, "mib": 1024**2, "gib": 1024**3}


def bit_widths_of(option: str, texts: Sequence[str], *, one: bool = False) -> list[tuple[str, tuple[int, ...]]]:
    """Return patterns of components and their bit-widths.

    Args:
        option: name of the option, for messages.
        texts: patterns, each with ``=`` and its bit-widths.
        one: whether a pattern has one bit-width only.

    Raises:
        InputError: for a text of another form.
        BitWidthError: for a bit-width outside 1...8.
    """
    found = []
    for text in texts:
        pattern, _, bits = text.rpartition("=")
        example = "conv1.weight=8" if one else "conv*.adjacency=4,8"
        try:
            widths = tuple(int(part) for part in bits.split(","))
        except ValueError:
            widths = ()
        if not pattern or not widths or (one and len(widths) > 1):
            raise InputError(f"--{option} {text!r} is not of the form {example}")
        try:
            found.append((pattern.strip(), check_bit_widths(widths)))
        except BitWidthError as error:
            raise BitWidthError(f"--{option} {text!r}: {error}") from error
    return found


def parse_size(text: str) -> int:
    """Return a number of bytes: ``64KB`` is 64,000, ``64KiB`` 65,536, and a number without a unit is in bytes.

    Raises:
        InputError: for another text, or less than one byte.
    """
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * _UNITS[found[2].lower()]) if found else 0
    if size < 1:
        raise InputError(
            f"a size of {text!r}: give bytes, or a unit, such as 64KB (64,000 bytes), 64KiB (65,536) or 1.5MB"
        )
    return size
