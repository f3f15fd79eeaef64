"""Interruption of a run by Ctrl-C at a point from which it can be resumed."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mixq_rl.agents.records.evaluator_config import Stage
from mixq_rl.training.loop import Progress

__all__ = ["Interrupted", "interruptible"]


class Interrupted(Exception):  # noqa: N818  the user's will, not an error
    """The user interrupted the run, and it ended at a point from which it can be resumed."""


@contextmanager
def interruptible(stage: Stage) -> Iterator[Stage]:
    """Give a stage that ends the run after Ctrl-C, at the next report of progress.

    A second Ctrl-C ends the run at once. Only the main thread receives signals; in other threads this does nothing.

    Raises:
        Interrupted: from the stage's progress, after a Ctrl-C.
    """
    if threading.current_thread() is not threading.main_thread():
        yield stage
        return
    asked = False

    def ask(signum: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        # A shell script starts its background processes with Ctrl-C ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler if before is signal.SIG_IGN else before)

    @contextmanager
    def watched(what: str, unit: str) -> Iterator[Progress]:
        _end_if(asked)
        with stage(what, unit) as progress:

            def tell(done: int, total: int) -> None:
                progress(done, total)
                _end_if(asked)

            yield tell

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield watched
    finally:
        signal.signal(signal.SIGINT, before)


def _end_if(asked: bool) -> None:
    if asked:
        raise Interrupted
