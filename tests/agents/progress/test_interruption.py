import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mixq_rl.agents.progress.interruption import Interrupted, interruptible
from mixq_rl.training import Progress

told: list[tuple[int, int]] = []


@contextmanager
def stage(what: str, unit: str) -> Iterator[Progress]:
    told.clear()
    yield lambda done, total: told.append((done, total))


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ends_when_progress_is_told_next() -> None:
    with interruptible(stage) as watched, watched("searching", "episodes") as progress:
        progress(1, 9)
        press()
        undisturbed = True  # what is under way goes on
        with pytest.raises(Interrupted):
            progress(2, 9)
    assert undisturbed
    assert told == [(1, 9), (2, 9)]


def test_ends_where_the_next_stage_begins() -> None:
    with interruptible(stage) as watched:
        with watched("loading", ""):
            press()
        with pytest.raises(Interrupted), watched("training", "epochs"):
            raise AssertionError("it is not begun")


def test_a_second_time_ends_at_once() -> None:
    with interruptible(stage) as watched, watched("searching", "episodes"):
        press()
        with pytest.raises(KeyboardInterrupt):
            press()


def test_leaves_the_signal_as_it_was() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible(stage):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_works_in_a_thread_which_gets_no_signals() -> None:
    seen = []

    def work() -> None:
        with interruptible(stage) as watched, watched("searching", "episodes") as progress:
            progress(1, 1)
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
