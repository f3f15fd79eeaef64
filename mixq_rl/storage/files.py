"""Atomic writes of files and folders."""

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["draft_beside", "replace_file", "replacing_file", "replacing_folder", "sweep_drafts", "unwritable"]

_DRAFT = re.compile(r"\..+\.[0-9a-f]{32}")


def draft_beside(path: Path) -> Path:
    """Return a new hidden path in the folder of ``path``, and thus on the same file system.

    Raises:
        IsADirectoryError: for the root of a file system.
    """
    path = path.absolute()
    if not path.name:
        raise _is_folder(path)
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


def unwritable(path: Path, error: OSError) -> OSError:
    """Return an error that names ``path`` in place of the draft that could not be written."""
    return OSError(error.errno, error.strerror or str(error), str(path))


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file atomically: a reader finds the old content or the new content.

    Raises:
        OSError: if the file cannot be written. An old file does not change.
    """
    with replacing_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing_file(path: Path) -> Iterator[BinaryIO]:
    """Give a draft file to write into, which replaces ``path`` when the block ends without an error.

    Raises:
        OSError: if the file cannot be written. An old file does not change.
    """
    if path.is_dir():
        raise _is_folder(path)
    draft = draft_beside(path)
    try:
        with draft.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a draft folder to write into, which replaces ``path`` when the block ends without an error.

    If the process is killed during the replacement, ``path`` may be missing, but it is never incomplete.

    Raises:
        OSError: if the folder cannot be written. An old folder does not change.
    """
    draft, old = draft_beside(path), draft_beside(path)
    try:
        draft.mkdir(parents=True)
        yield draft
        _sync(draft)
        if path.exists():
            path.rename(old)
        draft.rename(path)
        _sync_entries(draft.parent)
    except OSError as error:
        if old.exists() and not path.exists():
            old.rename(path)
        raise unwritable(path, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def sweep_drafts(path: Path) -> None:
    """Remove the drafts of killed processes from a folder. No other process may be writing there."""
    for entry in path.iterdir() if path.is_dir() else ():
        if _DRAFT.fullmatch(entry.name):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _is_folder(path: Path) -> OSError:
    return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def _sync(folder: Path) -> None:
    """Flush the content of a folder to disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            with (Path(place) / name).open("rb") as file:
                os.fsync(file.fileno())
        _sync_entries(Path(place))


def _sync_entries(folder: Path) -> None:
    if os.name == "posix":  # other systems cannot open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
