"""``mixq-rl train --resume``: a run that was stopped goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mixq_rl.agents import RunConfig
from mixq_rl.datasets import GraphTask
from mixq_rl.nn import QuantizableModel
from tests.agents.cli.invoking import PROGRAM, SMALL, Invoke, interrupted


@pytest.fixture
def unfinished(small_run: Path) -> Path:
    """The folder of a run that looks as if it had been killed just before its end."""
    (small_run / "result.json").unlink()
    return small_run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume", "none"], "'none' is no run folder: 'none/config.json' is missing"),
        (
            ["--resume", "run", "--episodes", "9"],
            "--resume takes the options of the run from its folder: leave --episodes out",
        ),
        (["--resume", "run", "--run-dir", "other"], "leave --run-dir out"),
    ],
)
def test_resume_says_what_it_does_not_take(invoke: Invoke, arguments: list[str], message: str) -> None:
    ended = invoke("train", *arguments)
    assert ended.code == 2
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_ctrl_c_ends_after_the_evaluation_and_says_how_to_go_on(invoke: Invoke, tmp_path: Path) -> None:
    options = ["--dataset", "graph.npz", "--layers", "1", "--hidden-channels", "8", "--evaluator", "post-training"]
    arguments = ["train", *options, "--episodes", "24"]
    assert invoke(*arguments, "--run-dir", "whole", "--quiet").code == 0
    stopped = interrupted(*arguments, "--run-dir", "run", cwd=tmp_path, once="run/checkpoints/0*")
    assert stopped.code == 130
    assert stopped.stderr == (
        "mixq-rl: interrupted; everything so far is kept: resume with mixq-rl train --resume run\n"
    )
    assert not Path("run/result.json").exists()
    ended = invoke("train", "--resume", "run")
    assert ended.code == 0
    assert Path("run/allocations.csv").read_bytes() == Path("whole/allocations.csv").read_bytes()


def test_a_policy_run_goes_on_too(invoke: Invoke) -> None:
    arguments = ["train", *SMALL, "--model", "gcn", "--model", "gin"]
    assert invoke(*arguments, "--run-dir", "run", "--quiet").code == 0
    before = Path("run/policy/policy.safetensors").read_bytes()
    Path("run/result.json").unlink()
    ended = invoke("train", "--resume", "run", "--json")
    assert ended.code == 0
    assert [task["evaluations"] for task in json.loads(ended.stdout)["tasks"]] == [4, 4]
    assert Path("run/policy/policy.safetensors").read_bytes() == before


def test_a_run_goes_on_from_another_folder(
    invoke: Invoke, unfinished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = unfinished.resolve()
    before = (folder / "allocations.csv").read_bytes()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    ended = invoke("train", "--resume", str(folder), "--quiet")
    assert (ended.code, ended.stderr) == (0, "")
    assert (folder / "allocations.csv").read_bytes() == before


def test_a_run_that_was_moved_with_its_graph_goes_on(
    invoke: Invoke, unfinished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "moved").mkdir()
    for path in (unfinished, tmp_path / "graph.npz"):
        path.rename(tmp_path / "moved" / path.name)
    monkeypatch.chdir(tmp_path / "moved")
    assert invoke("train", "--resume", "run", "--quiet").code == 0


def test_the_environment_does_not_move_the_data_of_a_run(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke("train", *SMALL, "--data-root", str(tmp_path), "--run-dir", "run", "--quiet").code == 0
    folder = Path("run")
    (folder / "result.json").unlink()
    restored: list[str] = []
    load = RunConfig.load

    def noted(config: RunConfig) -> tuple[GraphTask, QuantizableModel]:
        restored.append(config.data_root)
        return load(config)

    monkeypatch.setattr(RunConfig, "load", noted)
    monkeypatch.setenv("MIXQ_RL_DATA", str(tmp_path / "another"))
    assert invoke("train", "--resume", str(folder), "--quiet").code == 0
    (folder / "result.json").unlink()
    assert invoke("train", "--resume", str(folder), "--data-root", "given", "--quiet").code == 0
    assert restored == [str(tmp_path), "given"]


@pytest.mark.usefixtures("small_run")
@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.slow)])
def test_what_an_encoding_lacks_is_no_reason_to_fail(encoding: str) -> None:
    command = [sys.executable, "-c", PROGRAM, "train", "--resume", "run"]
    ended = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"uniform 4 ?" in ended.stdout or b"agent 1 ?" in ended.stdout or b"uniform 2 ?" in ended.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_run_goes_on_only_where_its_device_is(invoke: Invoke, unfinished: Path) -> None:
    config = unfinished / "config.json"
    config.write_text(config.read_text().replace('"device": "cpu"', '"device": "cuda:0"'))
    ended = invoke("train", "--resume", "run")
    assert ended.code == 2
    assert "device 'cuda:0' cannot be used here: " in ended.stderr
    assert "resume a run that began on a GPU where there is one" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
