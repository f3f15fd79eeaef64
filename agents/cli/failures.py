"""Failures of a command, with messages that say how to resume its run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixq_rl.agents.progress.interruption import Interrupted
from mixq_rl.errors import EvaluationError
from mixq_rl.printable import printable, shell_word

__all__ = ["FAILED", "INTERRUPTED", "USAGE", "Failure", "going_on", "reason"]

_BEGUN = ("config.json", "study.json")
FAILED, USAGE, INTERRUPTED = 1, 2, 130


class Failure(Exception):  # noqa: N818  its code says what it is
    """End of the command with a message in one line and an exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def going_on(folder: Path, command: str) -> Iterator[None]:
    """Turn an interruption or a failure inside the block into a :class:`Failure` that says how to resume the run.

    Failures are OSError and EvaluationError.

    Args:
        folder: folder of the run or the study. If neither has begun there, the message names no command.
        command: command that resumes the run, up to the folder: ``"train --resume"``.

    Raises:
        Failure: after one of these.
    """
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        raise Failure(f"interrupted{_hint(folder, command, 'everything so far is kept')}", INTERRUPTED) from error
    except (OSError, EvaluationError) as error:
        raise Failure(f"{reason(error)}{_hint(folder, command, 'nothing so far is lost')}") from error


def reason(error: OSError | EvaluationError) -> str:
    """Return the message of an error, that of an OSError with the file's name and without the error number."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return f"{printable(str(error.filename))}: {error.strerror}" if error.filename else error.strerror


def _hint(folder: Path, command: str, kept: str) -> str:
    if not any((folder / name).is_file() for name in _BEGUN):
        return ""
    return f"; {kept}: resume with mixq-rl {command} {shell_word(folder)}"
