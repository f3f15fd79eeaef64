"""Options ``--workers`` and ``--ray-address``: who evaluates makes no difference to what is found."""

import json
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mixq_rl.agents.cli.failures import Failure, going_on
from mixq_rl.errors import EvaluationError
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.evaluation.store import EvaluationStore
from tests.agents.cli.invoking import SMALL, Invoke


@pytest.fixture
def with_ray() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'mixq-rl[ray]'")


def evaluations(run: Path) -> dict[tuple[str, int], list[Evaluation]]:
    with closing(EvaluationStore(run / "evaluations.sqlite")) as store:
        (evaluator,) = store.evaluators()
        found = store.searches(evaluator)
    return {search: [replace(evaluation, seconds=0.0) for evaluation in made] for search, made in found.items()}


def networks(run: Path) -> dict[str, bytes]:
    found = [*(run / "finalists").rglob("*"), *(run / "model").rglob("*")]
    return {str(path.relative_to(run)): path.read_bytes() for path in found if path.is_file()}


@pytest.mark.usefixtures("with_ray")
def test_a_run_with_workers_is_that_without(invoke: Invoke, small_run: Path) -> None:
    ended = invoke("train", *SMALL, "--run-dir", "worked", "--workers", "2", "--json")
    assert ended.code == 0, ended.stderr
    assert json.loads(ended.stdout)["run_dir"] == "worked"  # Ray's own lines would be beside it
    assert evaluations(Path("worked")) == evaluations(small_run)
    assert Path("worked/allocations.csv").read_bytes() == (small_run / "allocations.csv").read_bytes()
    assert networks(Path("worked")) == networks(small_run)
    count = len(list(Path("worked/finalists").iterdir()))
    assert f"fine-tuning: {count}/{count} networks in " in Path("worked/log.txt").read_text()
    assert "workers" not in json.loads(Path("worked/config.json").read_text())["config"]
    assert not sys.modules["ray"].is_initialized()
    resumed = invoke("train", "--resume", "worked", "--workers", "2", "--json")
    assert json.loads(resumed.stdout) == json.loads(ended.stdout)


@pytest.mark.parametrize("command", ["train", "search", "transfer"])
@pytest.mark.parametrize("options", [("--workers", "2"), ("--ray-address", "auto")])
def test_without_ray_one_line_says_what_to_install(
    invoke: Invoke, command: str, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    ended = invoke(command, "--dataset", "graph.npz", *options)
    assert ended.code == 2
    assert ended.stderr == (
        "mixq-rl: evaluation on workers needs Ray, which is not installed: pip install 'mixq-rl[ray]'\n"
    )


@pytest.mark.usefixtures("with_ray")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "-1"], "-1 workers: 0 or more are possible"),
        (["--workers", "2", "--objective", "latency"], "objective latency: times are measured one after another"),
        (["--workers", "2", "--device", "cuda:1"], "device cuda:1: Ray gives each worker its GPU: use --device cuda"),
        (["--ray-address", "here"], "address 'here' of a Ray cluster is neither 'auto' nor HOST:PORT"),
        (["--ray-address", "127.0.0.1:1"], "no Ray cluster at '127.0.0.1:1'"),
        (["--ray-address", "auto"], "Ray at 'auto' cannot be used: Could not find any running Ray instance"),
    ],
)
def test_what_workers_cannot_do_is_answered_with_one_line(
    invoke: Invoke, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ended = invoke("train", *SMALL, "--run-dir", "run", *arguments)
    assert ended.code == 2
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_file_of_options_names_no_cluster(invoke: Invoke) -> None:
    Path("options.json").write_text('{"ray_address": "10.0.0.1:6379"}')
    ended = invoke("train", "--config", "options.json")
    assert ended.code == 2
    assert "names 'ray_address': give --ray-address in the command" in ended.stderr


def test_a_run_whose_workers_fail_can_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    with pytest.raises(Failure) as raised, going_on(tmp_path, "train --resume"):
        raise EvaluationError("no worker can be used: the disk is full")
    assert raised.value.code == 1
    hint = f"nothing so far is lost: resume with mixq-rl train --resume {tmp_path}"
    assert str(raised.value) == f"no worker can be used: the disk is full; {hint}"
