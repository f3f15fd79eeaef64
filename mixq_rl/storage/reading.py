"""Reading of files that a stranger may have made: regular files of a bounded size, and JSON of a bounded depth."""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from mixq_rl.errors import ArtifactError
from mixq_rl.storage.limits import DOCUMENT, NESTING, Limit

__all__ = ["open_regular", "parse_json", "read_json", "read_regular"]

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: Path, *, follow: bool = False) -> BinaryIO:
    """Open a regular file for reading. Named pipes, devices, sockets and folders are refused without waiting for them.

    Args:
        path: path of the file.
        follow: whether the path may be a symbolic link. Folders above the file may always be links.

    Raises:
        ArtifactError: if the path is no regular file.
        OSError: if the file cannot be opened, for example because it does not exist.
    """
    # A named pipe opens at once with O_NONBLOCK, which does not affect regular files.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags if follow else flags | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise ArtifactError(f"{path} is {_kind(os.lstat(path).st_mode)}, not a file: it is not read") from error
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise ArtifactError(f"{path} is {_kind(mode)}, not a file: it is not read")
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, limit: Limit, *, follow: bool = False) -> bytes:
    """Return the content of a regular file.

    Args:
        path: path of the file.
        limit: limit on the size in bytes.
        follow: as in :func:`open_regular`.

    Raises:
        ArtifactError: if the path is no regular file, or the file exceeds the limit.
        OSError: if the file cannot be read.
    """
    with open_regular(path, follow=follow) as file:
        excess = limit.excess(os.fstat(file.fileno()).st_size)
        if excess is not None:
            raise ArtifactError(f"{path} has {excess}")
        return file.read(limit.value)  # files of /proc, which have no size, are read up to the limit


def read_json(path: Path, limit: Limit = DOCUMENT, *, follow: bool = False) -> Any:
    """Return the value of a JSON file, without NaN and infinity.

    Args:
        path: path of the file.
        limit: limit on the size in bytes.
        follow: as in :func:`open_regular`.

    Raises:
        ArtifactError: if the path is no regular file, or the file exceeds a limit.
        ValueError: if the file is not JSON.
        OSError: if the file cannot be read.
    """
    content = read_regular(path, limit, follow=follow)
    try:
        return parse_json(content)
    except ArtifactError as error:
        raise ArtifactError(f"{path} has {error}") from error


def parse_json(content: str | bytes) -> Any:
    """Return the value of a JSON text, without NaN and infinity.

    Raises:
        ArtifactError: if the text is nested too deeply.
        ValueError: if the text is not JSON.
    """
    try:
        value = json.loads(content, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise ArtifactError(f"brackets nested too deeply: at most {NESTING.value} levels are read") from None
    excess = NESTING.excess(_depth(value))
    if excess is not None:
        raise ArtifactError(excess)
    return value


def _depth(value: Any) -> int:
    """Return the number of levels of lists and dictionaries, without recursion."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [item for group in level for item in (group.values() if isinstance(group, dict) else group)]
    return depth


def _no_number(text: str) -> float:
    raise ValueError(f"it holds {text}, which is no number")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), -float("inf")):
        raise ValueError(f"it holds {text}, which is too great for a number")
    return number


def _kind(mode: int) -> str:
    return next((name for test, name in _KINDS if test(mode)), "neither a file nor a folder")
