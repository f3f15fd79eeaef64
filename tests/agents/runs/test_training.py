"""A run that is stopped, at whatever moment, and goes on ends as one that was not."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from mixq_rl import PreparationCache
from mixq_rl.agents import RunConfig, RunResult, resume_training, train
from mixq_rl.agents.records.evaluator_config import Stage, silent
from mixq_rl.agents.records.workers_config import WorkersConfig
from mixq_rl.errors import ArtifactError, InputError
from mixq_rl.training import Progress
from tests.agents.cli.invoking import save_graph
from tests.conftest import MakeOnce
from tests.killing import begin, kept

SEED = 20261124


def configure(folder: Path) -> RunConfig:
    return RunConfig(dataset=str(folder / "graph.npz"), episodes=24, hidden_channels=8, num_layers=1, bits=(2, 4))


def work(folder: Path, run_dir: Path, workers: int = 0) -> None:
    """Begin a run, or go on with it; in a process of its own."""
    cache, working = PreparationCache(f"{run_dir}-prepared"), WorkersConfig(workers=workers)
    if (run_dir / "config.json").exists():
        resume_training(run_dir, cache=cache, workers=working)
    else:
        train(configure(folder), run_dir, cache=cache, workers=working)


def make_whole(folder: Path) -> None:
    save_graph(folder / "graph.npz")
    process = begin(work, folder, folder / "whole")
    started = time.monotonic()
    process.join()
    assert process.exitcode == 0
    (folder / "seconds").write_text(f"{time.monotonic() - started}")


@pytest.fixture
def folder(make_once: MakeOnce) -> Path:
    """Where there is a graph, and ``whole``."""
    return make_once("whole-run", make_whole)


@pytest.fixture
def whole(folder: Path) -> Path:
    """A run that is not interrupted."""
    return folder / "whole"


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


def appeared(pattern: str) -> Callable[[Path], bool]:
    """A sign that it is time to kill: there is such a file."""
    return lambda run_dir: next(run_dir.glob(pattern), None) is not None


def passed(delay: float) -> Callable[[Path], bool]:
    """The same: so many seconds have passed since it was looked first."""
    ends = None

    def due(run_dir: Path) -> bool:
        nonlocal ends
        ends = ends or time.monotonic() + delay
        return time.monotonic() > ends

    return due


def kill_and_go_on(
    folder: Path, tmp_path: Path, moments: Sequence[Callable[[Path], bool]], *, workers: int = 0
) -> None:
    """Kill a run at each of these moments and go on with it; begin another where it ended before."""
    reference = folder / "whole"
    killed, runs, run_dir = 0, 0, tmp_path / "run-0"
    seen: set[tuple[object, ...]] = set()
    for due in moments:
        process = begin(work, folder, run_dir, workers)
        while process.is_alive() and not due(run_dir):
            time.sleep(0.001)
        if process.is_alive():
            process.kill()
            killed += 1
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        now = kept(run_dir)
        assert seen <= now
        seen = now
        if process.exitcode == 0:
            same_as(run_dir, reference)
            runs, seen = runs + 1, set()
            run_dir = tmp_path / f"run-{runs}"
    process = begin(work, folder, run_dir, workers)
    process.join()
    assert process.exitcode == 0
    same_as(run_dir, reference)
    assert seen <= kept(run_dir)
    assert killed >= -(-len(moments) // 2), "most of the moments fall into a run"


def test_a_kill_where_something_is_written_loses_nothing(folder: Path, tmp_path: Path) -> None:
    files = ("config.json", "evaluations.sqlite", "checkpoints/*", "policy", "finalists/*", "model", "allocations.csv")
    kill_and_go_on(folder, tmp_path, [appeared(pattern) for pattern in files])


def test_a_kill_of_a_run_with_workers_loses_nothing(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'mixq-rl[ray]'")
    kill_and_go_on(folder, tmp_path, [appeared("checkpoints/0*"), appeared("finalists/*-*")], workers=2)


@pytest.mark.parametrize("which", [slice(10, 13), pytest.param(slice(10), marks=pytest.mark.slow)], ids=str)
def test_kills_at_any_time_lose_nothing(folder: Path, tmp_path: Path, which: slice) -> None:
    shares = np.random.default_rng(SEED).uniform(0, 0.7, 13)[which]
    seconds = float((folder / "seconds").read_text())
    kill_and_go_on(folder, tmp_path, [passed(seconds * share) for share in shares.tolist()])


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
    "at",
    [
        pytest.param("training in float32", marks=pytest.mark.slow),
        "training the supernet",
        "searching",
        pytest.param("fine-tuning", marks=pytest.mark.slow),
        pytest.param("measuring", marks=pytest.mark.slow),
    ],
)
def test_stops_where_it_is_told_to_and_goes_on(folder: Path, whole: Path, tmp_path: Path, at: str) -> None:
    cache = PreparationCache(tmp_path / "prepared" if at.startswith("training") else folder / "whole-prepared")
    with pytest.raises(Stopped):
        train(configure(folder), tmp_path / "run", stopping(at), cache)
    if at == "searching":
        assert 0 < len(kept(tmp_path / "run")) < 24
    # The data have moved meanwhile: another root makes no other run of it.
    resume_training(tmp_path / "run", cache=cache, data_root="elsewhere")
    same_as(tmp_path / "run", whole)


def test_a_run_that_has_ended_only_says_its_result(whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    result = resume_training(whole)
    assert result.best.label in {finalist.label for finalist in result.finalists}
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.name != ".lock"} == {
        path: when for path, when in before.items() if path.name != ".lock"
    }


def test_the_newest_damaged_checkpoint_falls_back_to_the_one_before(
    folder: Path, whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = PreparationCache(folder / "whole-prepared")
    with pytest.raises(Stopped):
        train(configure(folder), tmp_path / "run", stopping("fine-tuning"), cache)
    newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1] / "checkpoint.safetensors"
    newest.write_bytes(newest.read_bytes()[:-8])
    resume_training(tmp_path / "run", cache=cache)
    assert "is skipped" in caplog.text
    assert "is skipped" in (tmp_path / "run" / "log.txt").read_text()
    same_as(tmp_path / "run", whole)


def test_checkpoints_of_another_network_are_refused(folder: Path, whole: Path, tmp_path: Path) -> None:
    save_graph(tmp_path / "graph.npz")
    with pytest.raises(Stopped):
        train(configure(tmp_path), tmp_path / "run", stopping("fine-tuning"))
    with np.load(tmp_path / "graph.npz") as arrays:
        changed = dict(arrays)
    changed["edge_index"] = changed["edge_index"][:, 2:]
    np.savez(tmp_path / "graph.npz", **changed)
    with pytest.raises(ArtifactError, match="are of a search of other networks than those prepared now"):
        resume_training(tmp_path / "run")


def test_only_a_run_of_this_kind_is_gone_on_with(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run folder"):
        resume_training(tmp_path)
