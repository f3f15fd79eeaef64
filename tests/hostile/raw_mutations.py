"""Damage to the bytes of a file, as a stranger might do it."""

import io
import zipfile
from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Mutation = Callable[[bytes], bytes]

CANARY = "canary-is-dead"
_COMMAND = f"touch {CANARY}".encode()
_CALL = b"cposix\nsystem\n(U" + bytes([len(_COMMAND)]) + _COMMAND + b"tR"
CALLS = (
    _CALL,
    b"\x80\x02" + _CALL + b".",
    b"cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR",
    b"cnumpy\nzeros\n((J\xff\xff\xff\x7fJ\xff\xff\xff\x7fttR",
    b"(" * 3000,
    b"]" * 3000,
    b"(K\x01K\x01tq\xf0" + b"0h\xf0h\xf0\x86q\xf0" * 60,  # a tuple of 2^60 numbers
    b"}" + b"(K\x01K\x01tq\xf0" + b"0h\xf0h\xf0\x86q\xf0" * 60 + b"K\x01s",  # the same as a key
    b"r\xff\xff\xff\x7f",
    b"\x8e\xff\xff\xff\xff\xff\x00\x00\x00",
)
"""Instructions of pickles that call a command, allocate much, nest deeply, or grow without end."""
_NUMBERS = (b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\xff" * 8, b"\x00" * 8, b"\xff\xff\xff\xff\x00\x00\x00\x00")
_TEXTS = (b"99999999999", b"-1", b"1e999", b"nan", b"\n", b",", b"[" * 400, b"9" * 6000, b"\x1b[31m", b"|O", b"None")


def _at(content: bytes, place: float) -> int:
    return int(place * len(content))


def _flip(place: float, bits: int) -> Mutation:
    def mutate(content: bytes) -> bytes:
        at = _at(content, place)
        return content[:at] + bytes(byte ^ bits for byte in content[at : at + 1]) + content[at + 1 :]

    return mutate


def _cut(place: float) -> Mutation:
    return lambda content: content[: _at(content, place)]


def _insert(place: float, text: bytes) -> Mutation:
    return lambda content: content[: _at(content, place)] + text + content[_at(content, place) :]


def _overwrite(place: float, text: bytes) -> Mutation:
    return lambda content: content[: _at(content, place)] + text + content[_at(content, place) + len(text) :]


def _splice(start: float, end: float, place: float) -> Mutation:
    return lambda content: _insert(place, content[_at(content, min(start, end)) : _at(content, max(start, end))])(
        content
    )


def _replace_digits(place: float, digits: bytes) -> Mutation:
    """Replace a number that is written as text, such as one of a shape."""

    def mutate(content: bytes) -> bytes:
        first = next((at for at in range(_at(content, place), len(content)) if content[at : at + 1].isdigit()), None)
        if first is None:
            return content
        end = first
        while content[end : end + 1].isdigit():
            end += 1
        spaces = content[end:].find(b" ")
        text = content[:first] + digits + content[end:]
        grown = len(digits) - (end - first)  # the header of an array keeps its length, because spaces fill it
        return text if spaces < 0 or grown <= 0 else text.replace(b" " * (grown + 1), b" ", 1)

    return mutate


_place = st.floats(0, 1, exclude_max=True)
plain: SearchStrategy[Mutation] = st.one_of(
    st.builds(_flip, _place, st.integers(1, 255)),
    st.builds(_cut, _place),
    st.builds(_insert, _place, st.sampled_from(CALLS + _NUMBERS + _TEXTS) | st.binary(max_size=20)),
    st.builds(_overwrite, _place, st.sampled_from(CALLS + _NUMBERS + _TEXTS) | st.binary(max_size=20)),
    st.builds(_splice, _place, _place, _place),
    st.builds(_replace_digits, _place, st.sampled_from((b"0", b"-3", b"7", b"4000000000", b"99999999999999999999"))),
)
"""Damage to any file."""


def _rezip(record: float, mutation: Mutation, method: int, name: str) -> Mutation:
    def mutate(content: bytes) -> bytes:
        copy = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(copy, "w", method) as damaged:
            names = archive.namelist()
            chosen = names[_at(bytes(len(names)), record)]
            for entry in names:
                found = archive.read(entry)
                damaged.writestr(entry, mutation(found) if entry == chosen else found)
            if name:
                damaged.writestr(name, b"")
        return copy.getvalue()

    return mutate


_names = st.sampled_from(["", "", "", "x" * 60_000, "\n\x1b[2J.npy", "../../escape.npy", "archive/data.pkl"])
zipped: SearchStrategy[Mutation] = plain | st.builds(
    _rezip, _place, plain, st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)), _names
)
"""Damage to a zip archive, or to a record in it whose checksum is right again."""
