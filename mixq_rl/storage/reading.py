"""Reading of files that a stranger may have made: regular files of a bounded size, and JSON of a bounded depth."""

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from mixq_rl.errors import ArtifactError
from mixq_rl.storage.limits import DOCUMENT, NESTING, Limit

__all__ = ["check_tree", "entries_below", "open_regular", "parse_json", "read_json", "read_regular"]

_REMEDY = "a run folder holds plain files only; copy it without links, or remove this one"
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def _raise(error: OSError) -> NoReturn:
    raise error


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
        size = os.fstat(file.fileno()).st_size
        limit.check(size, str(path))
        return file.read(size or limit.value)  # files of /proc have no size


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
    return parse_json(read_regular(path, limit, follow=follow), str(path))


def check_tree(folder: Path) -> None:
    """Check that a folder and its subfolders hold nothing but folders and regular files, each under one name only.

    Reading, writing and removing below such a folder cannot reach what lies elsewhere. The folder itself may be a link.

    Raises:
        ArtifactError: naming the first symbolic link, named pipe, socket, device, or file with several names.
        OSError: if a folder cannot be read.
    """
    for path in entries_below(folder):
        try:
            status = path.lstat()
        except FileNotFoundError:  # the run is being written
            continue
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            raise ArtifactError(f"{str(path)!r} is a hard link, a file with several names: {_REMEDY}")
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise ArtifactError(f"{str(path)!r} is {_kind(status.st_mode)}: {_REMEDY}")


def entries_below(folder: Path, skip: Callable[[OSError], object] = _raise) -> Iterator[Path]:
    """Yield the paths of all entries in a folder and its subfolders, at any depth, without following links.

    Args:
        folder: path of the folder.
        skip: called with the error about each subfolder that cannot be read.
    """
    folders = [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            skip(error)
            continue
        folders += [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]
        yield from (Path(entry) for entry in entries)


def parse_json(content: str | bytes, what: str = "the text") -> Any:
    """Return the value of a JSON text, without NaN and infinity.

    Args:
        content: the text.
        what: name of the text, for messages: the path of a file.

    Raises:
        ArtifactError: if the text is nested too deeply.
        ValueError: if the text is not JSON.
    """
    try:
        value = json.loads(content, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise ArtifactError(f"{what} is nested too deeply: at most {NESTING.value} levels are read") from None
    NESTING.check(_depth(value), what)
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
