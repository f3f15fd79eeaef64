"""Ctrl-C ends a run where nothing is lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mixq_rl.agents.records.evaluator_config import Stage
from mixq_rl.training.loop import Progress

__all__ = ["Interrupted", "interruptible"]


class Interrupted(Exception):  # noqa: N818  the user's will, not an error
    """The user asked the run to end, and it did at a point from which it can go on."""


@contextmanager
def interruptible(stage: Stage) -> Iterator[Stage]:
    """Give a stage in which the first Ctrl-C is remembered until progress is told next: then the run ends.

    A second Ctrl-C ends it at once, as usual. Outside the main thread, which alone gets signals, nothing changes.

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
        # What a script runs in the background begins with Ctrl-C ignored.
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
