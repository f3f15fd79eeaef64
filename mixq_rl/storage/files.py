"""Files and folders that are there whole or not at all, at whatever instant the process is killed."""

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["draft_beside", "replace_file", "replacing_folder", "sweep_drafts", "unwritable"]

_DRAFT = re.compile(r"\..+\.[0-9a-f]{32}")


def draft_beside(path: Path) -> Path:
    """Return a new hidden name beside ``path``, on the same file system.

    Raises:
        IsADirectoryError: for the root of a file system, which has nothing beside it.
    """
    path = path.absolute()
    if not path.name:
        raise _is_folder(path)
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


def unwritable(path: Path, error: OSError) -> OSError:
    """Return the error as one of ``path``, whatever draft of it could not be written."""
    return OSError(error.errno, error.strerror or str(error), str(path))


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file so that whoever reads it finds the old content or the new.

    Raises:
        OSError: if it cannot be written; an old file stays as it was.
    """
    if path.is_dir():
        raise _is_folder(path)
    draft = draft_beside(path)
    try:
        with draft.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a new folder to write into, which becomes ``path`` when the block ends without an error.

    A folder that was there is gone then; a process that is killed between the two leaves none, never half of one.

    Raises:
        OSError: if it cannot be written; an old folder stays as it was.
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
    """Remove what processes that were killed had begun to write in a folder; nobody else may be writing there."""
    for entry in path.iterdir() if path.is_dir() else ():
        if _DRAFT.fullmatch(entry.name):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _is_folder(path: Path) -> OSError:
    return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def _sync(folder: Path) -> None:
    """See that what a folder holds outlives a power cut."""
    for place, _, names in os.walk(folder):
        for name in names:
            with (Path(place) / name).open("rb") as file:
                os.fsync(file.fileno())
        _sync_entries(Path(place))


def _sync_entries(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
