"""Reading of pickles as plain values: nothing that a pickle names is imported or called."""

import struct
from collections.abc import Callable
from typing import Any, ClassVar

from mixq_rl.datasets.inert import Named, Objects, Saved, Stored

__all__ = ["read_pickle"]

_LONGEST_NAME = 200
_GREATEST_KEY = 2**31
_STRINGS_OF_KEY = 3
_MARK = object()
_LITTLE = {
    b"K"[0]: struct.Struct("<B"),
    b"M"[0]: struct.Struct("<H"),
    b"J"[0]: struct.Struct("<i"),
    b"G"[0]: struct.Struct(">d"),
}
_CONSTANTS = {b"N"[0]: None, 0x88: True, 0x89: False}
_LENGTHS = {  # opcode: bytes of the length, and what the content is
    b"U"[0]: (1, "latin1"),
    b"T"[0]: (4, "latin1"),
    b"X"[0]: (4, "utf-8"),
    0x8C: (1, "utf-8"),
    0x8D: (8, "utf-8"),
    b"C"[0]: (1, ""),
    b"B"[0]: (4, ""),
    0x8E: (8, ""),
    0x8A: (1, "integer"),
}


def read_pickle(content: bytes | bytearray, objects: Objects, start: int = 0) -> tuple[Any, int]:
    """Return the value of a pickle, and the place behind it.

    Lists, dictionaries, tuples, numbers and strings are read as such, strings of Python 2 as Latin-1. Everything else
    becomes :class:`Named`, :class:`Saved` and :class:`Stored`, which are inert. Keys of dictionaries must be strings,
    three strings (as in heterogeneous graphs), or integers of 32 bits: a dictionary of tuples in tuples, or of chosen
    great integers, may take for ever. The same value may be at several places, and values may be nested deeply. So
    never compare, print or walk a value before its type is checked.

    Args:
        content: bytes with the pickle.
        objects: counter of the instructions.
        start: place of the first byte.

    Raises:
        ValueError: if the bytes are no such pickle, or it has too many instructions.
    """
    try:
        return _Reader(content, objects, start).read()
    except (IndexError, KeyError, struct.error) as error:
        raise ValueError("a damaged pickle") from error


class _Reader:
    """Machine that executes the instructions of a pickle on a stack of plain values."""

    def __init__(self, content: bytes | bytearray, objects: Objects, start: int) -> None:
        self._content, self._objects, self._place = content, objects, start
        self._stack: list[Any] = []
        self._memory: dict[int, Any] = {}

    def read(self) -> tuple[Any, int]:
        content, stack, memory, take = self._content, self._stack, self._memory, self._objects.take
        while True:
            take()
            code = content[self._place]
            self._place += 1
            if code in _LITTLE:
                number = _LITTLE[code]
                stack.append(number.unpack_from(content, self._place)[0])
                self._place += number.size
            elif code == 0x71:  # BINPUT
                memory[content[self._place]] = self._top()
                self._place += 1
            elif code == 0x68:  # BINGET
                stack.append(memory[content[self._place]])
                self._place += 1
            elif code in _LENGTHS:
                stack.append(self._text(*_LENGTHS[code]))
            elif code in _CONSTANTS:
                stack.append(_CONSTANTS[code])
            elif code == 0x2E:  # STOP
                value = self._pop()
                return value, self._place
            elif code in self._INSTRUCTIONS:
                self._INSTRUCTIONS[code](self)
            else:
                raise ValueError(f"a pickle with the instruction {code:#04x}, which graphs do not need")

    def _top(self) -> Any:
        if self._stack[-1] is _MARK:
            raise ValueError("a damaged pickle")
        return self._stack[-1]

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("a damaged pickle")
        return value

    def _pop_marked(self) -> list[Any]:
        stack = self._stack
        for place in range(len(stack) - 1, -1, -1):
            if stack[place] is _MARK:
                values = stack[place + 1 :]
                del stack[place:]
                return values
        raise ValueError("a damaged pickle")

    def _bytes(self, length: int) -> bytes:
        if length < 0 or self._place + length > len(self._content):
            raise ValueError("a damaged pickle")
        self._place += length
        return bytes(self._content[self._place - length : self._place])

    def _line(self) -> str:
        end = self._content.index(b"\n", self._place, self._place + _LONGEST_NAME)
        line = self._bytes(end - self._place)
        self._place += 1
        return line.decode()

    def _text(self, width: int, kind: str) -> str | bytes | int:
        content = self._bytes(int.from_bytes(self._bytes(width), "little"))
        if kind == "integer":
            return int.from_bytes(content, "little", signed=True)
        return content.decode(kind) if kind else content

    def _put(self, place: int) -> None:
        self._memory[place] = self._top()

    def _memorize(self) -> None:
        self._memory[len(self._memory)] = self._top()

    def _get(self, place: int) -> None:
        self._stack.append(self._memory[place])

    def _integer(self, width: int) -> int:
        return int.from_bytes(self._bytes(width), "little")

    def _tuple(self, length: int) -> None:
        self._stack.append(tuple(reversed([self._pop() for _ in range(length)])))

    def _list(self, values: list[Any]) -> None:
        group = self._top()
        if not isinstance(group, list):
            raise ValueError("a pickle with an object that is filled like a list")
        group.extend(values)

    def _set(self, values: list[Any]) -> None:
        group = self._top()
        if isinstance(group, Saved):
            group.items = {} if group.items is None else group.items
            group = group.items
        if not isinstance(group, dict) or len(values) % 2:
            raise ValueError("a damaged pickle")
        for key in values[::2]:
            if not _is_quick(key):
                raise ValueError("a pickle with other keys of a dictionary than strings and integers of 32 bits")
        group.update(zip(values[::2], values[1::2], strict=True))

    def _dictionary(self) -> None:
        values = self._pop_marked()
        self._stack.append({})
        self._set(values)

    def _named(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str) or len(module) + len(name) > _LONGEST_NAME:
            raise ValueError("a damaged pickle")
        self._stack.append(Named(module, name))

    def _stack_named(self) -> None:
        name, module = self._pop(), self._pop()
        self._named(module, name)

    def _call(self) -> None:
        arguments = self._pop()
        self._stack.append(Saved(self._pop(), arguments))

    def _store(self) -> None:
        self._objects.stored.append(Stored(self._pop()))
        self._stack.append(self._objects.stored[-1])

    def _build(self) -> None:
        state = self._pop()
        saved = self._top()
        if not isinstance(saved, Saved) or saved.state is not None:
            raise ValueError("a damaged pickle")
        saved.state = state

    def _set_one(self) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def _append_one(self) -> None:
        value = self._pop()
        self._list([value])

    _INSTRUCTIONS: ClassVar[dict[int, Callable[["_Reader"], Any]]] = {
        0x80: lambda self: self._bytes(1),  # PROTO
        0x95: lambda self: self._bytes(8),  # FRAME
        ord("("): lambda self: self._stack.append(_MARK),
        ord("0"): lambda self: self._pop(),
        ord("]"): lambda self: self._stack.append([]),
        ord("}"): lambda self: self._stack.append({}),
        ord(")"): lambda self: self._stack.append(()),
        ord("l"): lambda self: self._stack.append(self._pop_marked()),
        ord("d"): lambda self: self._dictionary(),
        ord("t"): lambda self: self._stack.append(tuple(self._pop_marked())),
        0x85: lambda self: self._tuple(1),
        0x86: lambda self: self._tuple(2),
        0x87: lambda self: self._tuple(3),
        ord("a"): lambda self: self._append_one(),
        ord("e"): lambda self: self._list(self._pop_marked()),
        ord("s"): lambda self: self._set_one(),
        ord("u"): lambda self: self._set(self._pop_marked()),
        ord("r"): lambda self: self._put(self._integer(4)),
        0x94: lambda self: self._memorize(),
        ord("j"): lambda self: self._get(self._integer(4)),
        ord("p"): lambda self: self._put(int(self._line())),
        ord("g"): lambda self: self._get(int(self._line())),
        ord("I"): lambda self: self._stack.append(_decimal(self._line())),
        ord("L"): lambda self: self._stack.append(int(self._line().rstrip("L"))),
        ord("c"): lambda self: self._named(self._line(), self._line()),
        0x93: lambda self: self._stack_named(),
        ord("R"): lambda self: self._call(),
        0x81: lambda self: self._call(),  # NEWOBJ
        ord("b"): lambda self: self._build(),
        ord("Q"): lambda self: self._store(),
    }


def _is_quick(key: Any) -> bool:
    """Return whether the hash of a key takes no time, and is not that of many other keys."""
    if isinstance(key, tuple):
        return len(key) == _STRINGS_OF_KEY and all(isinstance(part, str) for part in key)
    return isinstance(key, str) or (isinstance(key, int) and abs(key) < _GREATEST_KEY)


def _decimal(line: str) -> int | bool:
    return {"00": False, "01": True}[line] if line in ("00", "01") else int(line)
