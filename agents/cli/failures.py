"""Ends of a run that was begun: each says how to go on."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixq_rl.agents.progress.interruption import Interrupted

__all__ = ["FAILED", "INTERRUPTED", "USAGE", "Failure", "going_on", "reason"]

FAILED, USAGE, INTERRUPTED = 1, 2, 130


class Failure(Exception):  # noqa: N818  its code says what it is
    """The command ends with this message, in one line, and this exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def going_on(folder: Path, command: str) -> Iterator[None]:
    """Say of a run that is interrupted inside the block, or cannot write, how to go on with it.

    Args:
        folder: of the run; if it was not begun there, there is nothing to go on with.
        command: that goes on with it: ``"train --resume"``.
    """
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        raise Failure(f"interrupted{_hint(folder, command, 'everything so far is kept')}", INTERRUPTED) from error
    except OSError as error:
        raise Failure(f"{reason(error)}{_hint(folder, command, 'nothing so far is lost')}") from error


def reason(error: OSError) -> str:
    """Return what cannot be done, and why, without an error number."""
    if error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def _hint(folder: Path, command: str, kept: str) -> str:
    if not (folder / "config.json").is_file():
        return ""
    return f"; {kept}: go on with mixq-rl {command} {shlex.quote(str(folder))}"
