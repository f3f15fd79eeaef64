import logging
from pathlib import Path

import pytest

from mixq_rl.agents.progress.log import announced, handled, log_into, logged, logger, together
from mixq_rl.agents.records.evaluator_config import silent


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Clock:
    """Time, as far as the log sees it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("time.perf_counter", lambda: self.now)


def lines_of(seconds: float, total: int, clock: Clock) -> list[str]:
    handler = Lines()
    with handled(handler), logged("training", "epochs") as progress:
        for done in range(1, total + 1):
            clock.now += seconds
            progress(done, total)
    return handler.lines


def test_a_stage_begins_and_ends_with_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines_of(0.001, 1000, Clock(monkeypatch)) == ["training", "training: 1000/1000 epochs in 1.0 s"]


def test_a_long_stage_has_a_line_for_each_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(1.0, 50, Clock(monkeypatch))
    assert lines[1:-1] == [f"training: {done}/50 epochs" for done in range(5, 50, 5)]


def test_a_slow_stage_has_one_every_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(10.0, 100, Clock(monkeypatch))
    assert lines[1:4] == [f"training: {done}/100 epochs" for done in (3, 6, 9)]


def test_a_stage_that_counts_nothing_is_done() -> None:
    handler = Lines()
    with handled(handler), logged("loading", ""):
        pass
    assert handler.lines[1].startswith("loading: done in ")


def test_lines_go_into_a_file_with_their_time_and_are_appended(tmp_path: Path) -> None:
    for word in ("first", "second"):
        with log_into(tmp_path / "log.txt"):
            logger.info(word)
    logger.info("third")
    first, second = (tmp_path / "log.txt").read_text().splitlines()
    assert first.endswith(" first")
    assert second.endswith(" second")
    assert len(first.split()) == 3


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left on device") as caught, log_into(Path("/dev/full")):
        logger.info("a line")
    assert caught.value.filename == "/dev/full"
    assert not logger.handlers


def test_nothing_is_shown_unless_somebody_asks(capsys: pytest.CaptureFixture[str]) -> None:
    with logged("training", "epochs") as progress:
        progress(1, 1)
    assert capsys.readouterr() == ("", "")


def test_several_stages_are_told_alike() -> None:
    handler = Lines()
    with handled(handler), together(logged, logged, silent)("training", "epochs") as progress:
        progress(3, 3)
    assert [line.startswith("training: 3/3 epochs") for line in handler.lines] == [False, False, True, True]


def test_the_place_is_said_once_after_the_first_stage_that_succeeds() -> None:
    said: list[str] = []
    stage = announced(silent, lambda: said.append("here"))
    with pytest.raises(ValueError, match="no such graph"), stage("loading", ""):
        raise ValueError("no such graph")
    assert said == []
    for _ in range(2):
        with stage("loading", ""):
            pass
    assert said == ["here"]


def test_a_line_stays_a_line_whatever_the_names_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logger, "propagate", False)  # pytest-xdist cannot send such names
    with log_into(tmp_path / "log.txt"):
        logger.info("%s is read", "g\x1b[31m\n\u202e\udcff.npz")
    (line,) = (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert line.endswith(r"g\x1b[31m\n\u202e\xff.npz is read")
