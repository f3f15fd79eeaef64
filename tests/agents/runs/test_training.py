"""A run that is stopped, at whatever moment, and goes on ends as one that was not."""

import multiprocessing
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest

from mixq_rl import PreparationCache
from mixq_rl.agents import RunConfig, RunResult, resume_training, train
from mixq_rl.agents.records.evaluator_config import Stage, silent
from mixq_rl.errors import ArtifactError, InputError
from mixq_rl.training import Progress
from tests.agents.test_cli import save_graph

KILLS = 20
SEED = 20261124


def configure(folder: Path) -> RunConfig:
    return RunConfig(dataset=str(folder / "graph.npz"), episodes=16, hidden_channels=8, num_layers=1, bits=(2, 4))


def work(folder: Path, name: str) -> None:
    """Begin a run, or go on with it; in a process of its own."""
    run_dir, cache = folder / name, PreparationCache(folder / f"{name}-prepared")
    if (run_dir / "config.json").exists():
        resume_training(run_dir, cache=cache)
    else:
        train(configure(folder), run_dir, cache=cache)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    save_graph(folder / "graph.npz")
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path) -> tuple[Path, float]:
    """A run that is not interrupted, and how long it took."""
    started = time.monotonic()
    process = begin(folder, "whole")
    process.join()
    assert process.exitcode == 0
    return folder / "whole", time.monotonic() - started


def begin(folder: Path, name: str) -> ForkServerProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=work, args=(folder, name))
    process.start()
    return process


def kept(run_dir: Path) -> set[tuple[object, ...]]:
    """What the store holds, as whoever opens it after a kill sees it."""
    path = run_dir / "evaluations.sqlite"
    if not path.exists():
        return set()
    with sqlite3.connect(path) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        rows = connection.execute("SELECT * FROM evaluations").fetchall() if "evaluations" in tables else []
    connection.close()
    return set(rows)


def same_as(run_dir: Path, other: Path) -> None:
    for file in (
        "allocations.csv",
        "policy/policy.safetensors",
        "model/integer_model.safetensors",
        "model/integer_model.json",
    ):
        assert (run_dir / file).read_bytes() == (other / file).read_bytes(), file
    one, two = (RunResult.load(path / "result.json") for path in (run_dir, other))
    assert (one.hypervolume, one.evaluations, one.best.label) == (two.hypervolume, two.evaluations, two.best.label)
    assert not (run_dir / "checkpoints").exists()
    assert not [path for path in run_dir.rglob(".*") if path.name != ".lock"]


def moments(seconds: float) -> Iterator[Callable[[Path], bool]]:
    """Yield twenty signs that it is time to kill: a file that appears, or a random time that has passed."""
    files = ("config.json", "evaluations.sqlite", "checkpoints/*", "policy", "finalists/*", "model", "allocations.csv")
    for pattern in files:
        yield lambda run_dir, pattern=pattern: next(run_dir.glob(pattern), None) is not None  # type: ignore[misc]
    for delay in np.random.default_rng(SEED).uniform(0, 0.7 * seconds, KILLS - len(files)).tolist():
        ends = None

        def passed(run_dir: Path, delay: float = delay) -> bool:
            nonlocal ends
            ends = ends or time.monotonic() + delay
            return time.monotonic() > ends

        yield passed


def test_twenty_kills_lose_nothing(folder: Path, whole: tuple[Path, float]) -> None:
    reference, seconds = whole
    killed, runs, name = 0, 0, "run-0"
    seen: set[tuple[object, ...]] = set()
    for due in moments(seconds):
        process = begin(folder, name)
        while process.is_alive() and not due(folder / name):
            time.sleep(0.001)
        if process.is_alive():
            process.kill()
            killed += 1
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        now = kept(folder / name)
        assert seen <= now
        seen = now
        if process.exitcode == 0:
            same_as(folder / name, reference)
            runs, seen = runs + 1, set()
            name = f"run-{runs}"
    process = begin(folder, name)
    process.join()
    assert process.exitcode == 0
    same_as(folder / name, reference)
    assert seen <= kept(folder / name)
    assert killed >= KILLS // 2, "most of the moments fall into a run"


class Stopped(Exception):  # noqa: N818  not an error of the run's
    """Stands for a user who presses Ctrl-C."""


def stopping(at: str) -> Stage:
    """A stage that ends the run where this one is under way."""

    @contextmanager
    def stage(what: str, unit: str) -> Iterator[Progress]:
        with silent(what, unit):

            def progress(done: int, total: int) -> None:
                if what == at and done >= total // 2:
                    raise Stopped

            yield progress

    return stage


@pytest.mark.parametrize(
    "at", ["training in float32", "training the supernet", "searching", "fine-tuning", "measuring"]
)
def test_stops_where_it_is_told_to_and_goes_on(
    folder: Path, whole: tuple[Path, float], tmp_path: Path, at: str
) -> None:
    cache = PreparationCache(tmp_path / "prepared" if at.startswith("training") else folder / "whole-prepared")
    with pytest.raises(Stopped):
        train(configure(folder), tmp_path / "run", stopping(at), cache)
    if at == "searching":
        assert 0 < len(kept(tmp_path / "run")) < 16
    # The data have moved meanwhile: another root makes no other run of it.
    resume_training(tmp_path / "run", cache=cache, data_root="elsewhere")
    same_as(tmp_path / "run", whole[0])


def test_a_run_that_has_ended_only_says_its_result(whole: tuple[Path, float]) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole[0].rglob("*")}
    result = resume_training(whole[0])
    assert result.best.label in {finalist.label for finalist in result.finalists}
    assert {path: path.stat().st_mtime_ns for path in whole[0].rglob("*") if path.name != ".lock"} == {
        path: when for path, when in before.items() if path.name != ".lock"
    }


def test_the_newest_damaged_checkpoint_falls_back_to_the_one_before(
    folder: Path, whole: tuple[Path, float], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = PreparationCache(folder / "whole-prepared")
    with pytest.raises(Stopped):
        train(configure(folder), tmp_path / "run", stopping("fine-tuning"), cache)
    newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1] / "checkpoint.safetensors"
    newest.write_bytes(newest.read_bytes()[:-8])
    resume_training(tmp_path / "run", cache=cache)
    assert "is skipped" in caplog.text
    assert "is skipped" in (tmp_path / "run" / "log.txt").read_text()
    same_as(tmp_path / "run", whole[0])


def test_checkpoints_of_another_network_are_refused(folder: Path, whole: tuple[Path, float], tmp_path: Path) -> None:
    save_graph(tmp_path / "graph.npz")
    with pytest.raises(Stopped):
        train(configure(tmp_path), tmp_path / "run", stopping("fine-tuning"))
    with np.load(tmp_path / "graph.npz") as arrays:
        changed = dict(arrays)
    changed["edge_index"] = changed["edge_index"][:, 2:]
    np.savez(tmp_path / "graph.npz", **changed)
    with pytest.raises(ArtifactError, match="are of a search of other networks than those prepared now"):
        resume_training(tmp_path / "run")


def test_only_a_run_of_this_kind_is_gone_on_with(whole: tuple[Path, float], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run folder"):
        resume_training(tmp_path)
