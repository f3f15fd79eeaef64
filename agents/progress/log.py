"""Log of a run."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import cast

from mixq_rl.agents.records.evaluator_config import Stage
from mixq_rl.printable import printable
from mixq_rl.storage.files import unwritable
from mixq_rl.training.loop import Progress

__all__ = ["announced", "handled", "log_into", "logged", "logger", "together"]

logger = logging.getLogger("mixq_rl")
"""The logger of the package. A program that wants the lines adds a handler to it."""

_PARTS = 10
_LEAST_SECONDS, _MOST_SECONDS = 2.0, 30.0


@contextmanager
def logged(what: str, unit: str) -> Iterator[Progress]:
    """Stage that logs its begin, its end, and its progress in between.

    A line of progress follows each tenth of the stage, at most every 2 seconds, and otherwise every 30 seconds.
    """
    logger.info(what)
    started = said = time.perf_counter()
    part, last = 0, ""

    def progress(done: int, total: int) -> None:
        nonlocal said, part, last
        now, last = time.perf_counter(), f"{done}/{total} {unit}"
        reached = _PARTS * done // max(total, 1)
        due = _LEAST_SECONDS if reached > part else _MOST_SECONDS
        if done < total and now - said >= due:
            said, part = now, reached
            logger.info("%s: %s", what, last)

    yield progress
    logger.info("%s: %s in %.1f s", what, last or "done", time.perf_counter() - started)


def together(*stages: Stage) -> Stage:
    """Return a stage that enters all these stages and reports progress to each."""

    @contextmanager
    def all_of_them(what: str, unit: str) -> Iterator[Progress]:
        with ExitStack() as stack:
            told = [stack.enter_context(stage(what, unit)) for stage in stages]

            def progress(done: int, total: int) -> None:
                for tell in told:
                    tell(done, total)

            yield progress

    return all_of_them


def announced(stage: Stage, say: Callable[[], None]) -> Stage:
    """Return a stage that calls ``say`` when its first use has ended: the run can then begin."""
    said = False

    @contextmanager
    def first_announced(what: str, unit: str) -> Iterator[Progress]:
        nonlocal said
        with stage(what, unit) as progress:
            yield progress
        if not said:
            said = True
            say()

    return first_announced


class _File(logging.FileHandler):
    def _open(self) -> TextIOWrapper:
        # A link that took the place of the file is not followed.
        return cast(TextIOWrapper, open(self.baseFilename, self.mode, encoding="utf-8", opener=_open_unlinked))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the name is logging's
        """Raise an error if the log cannot be written, for example because the disk is full."""
        error = sys.exception()
        if isinstance(error, OSError):
            raise unwritable(Path(self.baseFilename), error) from error
        super().handleError(record)

    def close(self) -> None:
        try:
            super().close()
        except OSError:  # handleError has reported it
            self.stream = None
            super().close()


def _open_unlinked(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


class _Line(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the name is logging's
        """Return a message as one line, whatever the names in it."""
        return printable(super().formatMessage(record))


@contextmanager
def log_into(path: Path) -> Iterator[None]:
    """Append lines logged inside the block to a file, each with its time.

    Raises:
        OSError: if the file cannot be written. A call that logs a line raises it, too.
    """
    handler = _File(path, encoding="utf-8")
    handler.setFormatter(_Line("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    with handled(handler):
        yield


@contextmanager
def handled(handler: logging.Handler) -> Iterator[None]:
    """Add a handler to the logger inside the block, for the level INFO and above."""
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(min(level or logging.INFO, logging.INFO))
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
