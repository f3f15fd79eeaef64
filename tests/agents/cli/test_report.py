import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mixq_rl.agents import PolicyPlan, RunConfig
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.agents.records.folder import RunFolder
from tests.agents.cli.invoking import Ended, Invoke
from tests.agents.report.runs import run_folder, run_result

CONFIG = RunConfig(dataset="somewhere", seed=7)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run_folder(run_result(run_dir=tmp_path / "run"), CONFIG)
    return tmp_path / "run"


def test_writes_the_page_into_the_run_folder_and_again_the_same(folder: Path, invoke: Invoke) -> None:
    written = Ended(0, f"report: {folder / 'report.html'}\n", "")
    assert invoke("report", str(folder)) == written
    first = (folder / "report.html").read_bytes()
    assert first.startswith(b"<!DOCTYPE html>")
    assert invoke("report", str(folder)) == written
    assert (folder / "report.html").read_bytes() == first
    assert not [path for path in folder.iterdir() if path.name.startswith(".report")]


def test_writes_elsewhere_and_says_so_to_programs(folder: Path, invoke: Invoke) -> None:
    ended = invoke("report", str(folder), "--output", "page.html", "--json")
    assert ended.code == 0
    assert json.loads(ended.stdout) == {"report": "page.html", "run_dir": str(folder)}
    assert Path("page.html").exists()
    assert not (folder / "report.html").exists()
    assert invoke("report", str(folder), "--quiet") == Ended(0, "", "")


def test_a_page_that_cannot_be_written_is_one_line(folder: Path, invoke: Invoke) -> None:
    ended = invoke("report", str(folder), "--output", "none/page.html")
    assert ended == Ended(1, "", "mixq-rl: none/page.html: No such file or directory\n")


def test_a_run_that_has_not_ended_is_answered_with_how_to_go_on(invoke: Invoke) -> None:
    with RunFolder.create(Path("my run"), "run", CONFIG):
        assert invoke("report", "my run") == Ended(2, "", "mixq-rl: the run in 'my run' has not ended: wait for it\n")
    assert invoke("report", "my run") == Ended(
        2, "", "mixq-rl: the run in 'my run' has not ended: resume it: mixq-rl train --resume 'my run'\n"
    )


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("policy", "use it with mixq-rl transfer --policy one"),
        ("search", "compare what it found with mixq-rl compare one"),
    ],
)
def test_runs_that_chose_no_network_have_no_page(kind: str, message: str, invoke: Invoke) -> None:
    config = PolicyPlan((EvaluatorConfig(), replace(EvaluatorConfig(), model="sage")), 4, 0)
    with RunFolder.create(Path("one"), kind, config):
        pass
    ended = invoke("report", "one")
    assert ended.code == 2
    assert ended.stderr.endswith(f"{message}\n")
    assert ended.stderr.count("\n") == 1


def test_other_folders_and_damaged_runs_are_one_line(folder: Path, invoke: Invoke) -> None:
    assert "is no run folder" in invoke("report", ".").stderr
    (folder / "result.json").write_text("{")
    ended = invoke("report", str(folder))
    assert ended.code == 2
    assert "is damaged" in ended.stderr


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


WITHOUT_JINJA = """
import contextlib, io, json, sys
sys.modules.update(dict.fromkeys(["gymnasium", "jinja2"]))
from mixq_rl.agents.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv[1:], error = arguments, io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(error):
            main()
    except SystemExit as ended:
        print(json.dumps([ended.code, error.getvalue()]))
"""


def test_without_jinja_the_report_names_what_it_needs_and_other_commands_work(folder: Path) -> None:
    commands = [["report", str(folder)], ["runs", str(folder.parent)], ["predict", "--help"], ["export", "--help"]]
    program = [sys.executable, "-c", WITHOUT_JINJA, json.dumps(commands)]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    report, *others = (json.loads(line) for line in done.stdout.splitlines())
    assert report == [2, "mixq-rl: mixq-rl report needs more packages: pip install 'mixq-rl[rl]'\n"]
    assert [code for code, _ in others] == [0, 0, 0]
