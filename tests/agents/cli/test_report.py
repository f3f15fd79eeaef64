import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mixq_rl.agents import PolicyPlan, RunConfig
from mixq_rl.agents.cli import main
from mixq_rl.agents.problem_config import ProblemConfig
from mixq_rl.agents.run_folder import RunFolder
from tests.agents.report.runs import run_folder, run_result

CONFIG = RunConfig(dataset="somewhere", seed=7)


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["mixq-rl", "report", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run_folder(run_result(run_dir=tmp_path / "run"), CONFIG)
    return tmp_path / "run"


def test_writes_the_page_into_the_run_folder_and_again_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(folder), monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == f"report: {folder / 'report.html'}\n"
    first = (folder / "report.html").read_bytes()
    assert first.startswith(b"<!DOCTYPE html>")
    assert run(str(folder), monkeypatch=monkeypatch) == 0
    assert (folder / "report.html").read_bytes() == first
    assert not [path for path in folder.iterdir() if path.name.startswith(".report")]


def test_writes_elsewhere_and_says_so_to_programs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = folder.parent / "page.html"
    assert run(str(folder), "--output", str(page), "--json", monkeypatch=monkeypatch) == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(page), "run_dir": str(folder)}
    assert page.exists()
    assert not (folder / "report.html").exists()
    assert run(str(folder), "--quiet", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == ""


def test_a_page_that_cannot_be_written_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(folder), "--output", str(folder / "none" / "page.html"), monkeypatch=monkeypatch) == 1
    assert capsys.readouterr().err == f"mixq-rl: {folder / 'none' / 'page.html'}: No such file or directory\n"


def test_a_run_that_has_not_ended_is_answered_with_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my run"
    with RunFolder.create(path, "run", CONFIG):
        pass
    assert run(str(path), monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err == (
        f"mixq-rl: the run in '{path}' has not ended: go on with it: mixq-rl train --resume '{path}'\n"
    )


@pytest.mark.parametrize(
    ("kind", "message"),
    [("policy", "use it with mixq-rl transfer --policy"), ("search", "compare what it found with mixq-rl compare")],
)
def test_runs_that_chose_no_network_have_no_page(
    kind: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = PolicyPlan((ProblemConfig(), replace(ProblemConfig(), model="sage")), 4, 0)
    with RunFolder.create(tmp_path / "run", kind, config):
        pass
    assert run(str(tmp_path / "run"), monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err
    assert f"{message} {tmp_path / 'run'}" in error
    assert error.count("\n") == 1


def test_other_folders_and_damaged_runs_are_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(folder.parent), monkeypatch=monkeypatch) == 2
    assert "is no run folder" in capsys.readouterr().err
    (folder / "result.json").write_text("{")
    assert run(str(folder), monkeypatch=monkeypatch) == 2
    assert "is damaged" in capsys.readouterr().err


def test_needs_no_reinforcement_learning(folder: Path) -> None:
    program = (
        "import importlib.util as util, sys; found = util.find_spec;"
        "util.find_spec = lambda name, package=None: None if name == 'gymnasium' else found(name, package);"
        "from mixq_rl.agents.cli.application import app;"
        "app(['report', sys.argv[1]], standalone_mode=False);"
        "absent = {'gymnasium', 'stable_baselines3', 'matplotlib', 'optuna', 'torch_geometric', 'tensorboard'};"
        "loaded = absent & set(sys.modules); assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True, capture_output=True)
    assert (folder / "report.html").exists()
