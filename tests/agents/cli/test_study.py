"""``mixq-rl study``: many runs, and a table of their results."""

import csv
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mixq_rl.agents.records.folder import locked
from tests.agents.cli.invoking import SMALL, Invoke, interrupted, save_graph
from tests.hurry import hurry
from tests.killing import descendants

OPTIONS: dict[str, Any] = {
    "episodes": 2,
    "layers": 1,
    "hidden_channels": 8,
    "bits": "2,4",
    "evaluator": "post-training",
}
NAMES = ["graph-gcn-seed0", "graph-gcn-seed1"]
ENDED = {"state": "finished", "error": None}


def write(path: str = "study.json", **changes: Any) -> str:
    study = {"command": "train", "datasets": ["graph.npz"], "models": ["gcn"], "seeds": [0, 1], "options": OPTIONS}
    Path(path).write_text(json.dumps(study | changes))
    return path


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture
def with_ray() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'mixq-rl[ray]'")


def tables(folder: str) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in Path(folder).glob("*/allocations.csv")}


@pytest.mark.usefixtures("hurried")
def test_each_run_is_that_of_train_and_the_table_has_means_and_deviations(invoke: Invoke) -> None:
    assert invoke("train", *SMALL, "--episodes", "2", "--run-dir", "run", "--quiet").code == 0
    ended = invoke("study", write())
    assert (ended.code, ended.stderr) == (0, "")
    assert "2 of 2 runs have ended\nrun folder: runs/study\n" in ended.stdout
    assert sorted(tables("runs/study")) == NAMES
    assert tables("runs/study")[NAMES[0]] == Path("run/allocations.csv").read_bytes()
    config = json.loads(Path("run/config.json").read_text())["config"]
    assert json.loads(Path(f"runs/study/{NAMES[0]}/config.json").read_text())["config"] == config
    document = json.loads(Path("runs/study/study.json").read_text())
    assert [run["run"] for run in document["runs"]] == NAMES
    assert all(ENDED.items() <= run.items() for run in document["runs"])
    (row,) = document["rows"]
    one, two = (run["test"] - run["float32_test"] for run in document["runs"])
    assert row["runs"] == 2
    assert row["change"]["mean"] == pytest.approx((one + two) / 2)
    assert row["change"]["deviation"] == pytest.approx(abs(one - two) / 2**0.5)
    with Path("runs/study/study.csv").open(newline="") as file:
        (written,) = csv.DictReader(file)
    assert (written["dataset"], written["model"], written["runs"]) == ("graph.npz", "gcn", "2")
    assert float(written["test_mean"]) == pytest.approx(row["test"]["mean"])
    compared = invoke("compare", "runs/study", "--json")
    assert compared.code == 0
    assert [search["seed"] for search in json.loads(compared.stdout)["searches"]] == [0, 1]


@pytest.mark.usefixtures("hurried")
def test_what_has_ended_is_kept_and_what_was_stopped_goes_on(invoke: Invoke) -> None:
    assert invoke("study", write(), "--quiet").code == 0
    before = tables("runs/study")
    kept = Path(f"runs/study/{NAMES[0]}/result.json")
    (Path("runs/study") / NAMES[1] / "result.json").unlink()
    when = kept.stat().st_mtime_ns
    ended = invoke("study", write(seeds=[0, 1, 2]), "--json")
    document = json.loads(ended.stdout)
    assert [run["state"] for run in document["runs"]] == ["finished"] * 3
    assert document["rows"][0]["runs"] == 3
    assert before.items() <= tables("runs/study").items()
    assert kept.stat().st_mtime_ns == when


def test_a_run_that_fails_is_named_and_the_others_are_carried_out(invoke: Invoke) -> None:
    write(datasets=["CSL", "graph.npz"], folds=[7], seeds=[0])
    ended = invoke("study", "study.json", "--json")
    assert ended.code == 1
    assert ended.stderr.endswith(
        "mixq-rl: CSL-gcn-seed0-fold7 has failed: CSL has no fold 7: it has folds 0...4\n"
        "mixq-rl: graph-gcn-seed0-fold7 has failed: graph.npz has no fold 7: it has one split: leave the fold out\n"
        "mixq-rl: 2 of 2 runs have failed: to try these again, mixq-rl study study.json --run-dir runs/study\n"
    )
    assert [run["state"] for run in json.loads(ended.stdout)["runs"]] == ["failed", "failed"]


@pytest.mark.usefixtures("hurried")
def test_one_failure_does_not_keep_the_table_from_the_others(invoke: Invoke) -> None:
    save_graph(Path("other.npz"))
    Path("graph.npz").write_bytes(b"no graph")
    ended = invoke("study", write(datasets=["graph.npz", "other.npz"], seeds=[0]), "--quiet")
    assert ended.code == 1
    assert "graph-gcn-seed0 has failed: " in ended.stderr
    assert len(ended.stderr.splitlines()) == 2
    document = json.loads(Path("runs/study/study.json").read_text())
    assert [(run["state"], run["error"] is None) for run in document["runs"]] == [("failed", False), ("finished", True)]
    assert [row["dataset"] for row in document["rows"]] == ["other.npz"]
    assert document["rows"][0]["test"]["deviation"] is None
    save_graph(Path("graph.npz"))
    assert invoke("study", "study.json", "--quiet").code == 0


@pytest.mark.usefixtures("with_ray")
def test_tasks_of_ray_give_the_same_runs_also_if_one_is_killed(invoke: Invoke) -> None:
    assert invoke("study", write(), "--run-dir", "alone", "--quiet").code == 0
    killed: list[int] = []

    def kill_one() -> None:
        deadline = time.monotonic() + 300
        while not list(Path("worked").glob("*/finalists/*-*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        for process in descendants(b"ray::_task")[:1]:
            os.kill(process, signal.SIGKILL)
            killed.append(process)

    killer = threading.Thread(target=kill_one)
    killer.start()
    ended = invoke("study", "study.json", "--run-dir", "worked", "--workers", "2", "--json")
    killer.join()
    assert len(killed) == 1
    assert ended.code == 0, ended.stderr
    assert [run["state"] for run in json.loads(ended.stdout)["runs"]] == ["finished"] * 2
    assert tables("worked") == tables("alone")
    assert Path("worked/study.csv").read_bytes() == Path("alone/study.csv").read_bytes()
    assert not sys.modules["ray"].is_initialized()
    assert invoke("study", "study.json", "--run-dir", "worked", "--workers", "2", "--quiet").code == 0


@pytest.mark.usefixtures("with_ray")
def test_a_run_that_fails_on_a_worker_is_named(invoke: Invoke) -> None:
    write(datasets=["CSL"], folds=[7], seeds=[0])
    ended = invoke("study", "study.json", "--workers", "1", "--quiet")
    assert ended.code == 1
    assert ended.stderr == (
        "mixq-rl: CSL-gcn-seed0-fold7 has failed: CSL has no fold 7: it has folds 0...4\n"
        "mixq-rl: 1 of 1 runs have failed: to try these again, mixq-rl study study.json --workers 1 --run-dir "
        "runs/study\n"
    )


@pytest.mark.parametrize("workers", [pytest.param("0", marks=pytest.mark.slow), "1"])
def test_ctrl_c_ends_a_study_that_then_goes_on(invoke: Invoke, tmp_path: Path, workers: str) -> None:
    if workers != "0":
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'mixq-rl[ray]'")
    write(seeds=[0], options=OPTIONS | {"episodes": 8})
    command = ["study", "study.json", *([] if workers == "0" else ["--workers", workers])]
    ended = interrupted(*command, cwd=tmp_path, once="runs/study/*/checkpoints/0*")
    assert ended.code == 130
    again = " ".join([*command, "--run-dir runs/study"])
    assert ended.stderr == f"mixq-rl: interrupted; everything so far is kept: resume with mixq-rl {again}\n"
    assert invoke(*command, "--quiet").code == 0
    assert invoke("study", "study.json", "--run-dir", "whole", "--quiet").code == 0
    assert tables("runs/study") == tables("whole")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datasets": []}, "study 'study.json' has no datasets: the list is empty"),
        ({"seeds": []}, "study 'study.json' has no seeds: the list is empty"),
        ({"folds": []}, "study 'study.json' has no folds: the list is empty"),
        ({"datasets": "citation"}, "Expected `array`, got `str` - at `$.datasets`"),
        ({"seeds": [True]}, "Expected `int`, got `bool` - at `$.seeds[0]`"),
        ({"seeds": [-1]}, "seed -1 is outside 0...4294967295"),
        ({"command": "search"}, "Invalid enum value 'search' - at `$.command`"),
        ({"datasets": ["Coraa"]}, "unknown dataset 'Coraa': known are "),
        ({"datasets": ["none.npz"]}, "graph file 'none.npz' does not exist"),
        ({"models": ["gcm"]}, "unknown model 'gcm': known are "),
        ({"seeds": [0, 1, 0]}, "study 'study.json' has the run graph-gcn-seed0 twice: name each dataset, model, seed"),
        (
            {"datset": ["citation"]},
            "names 'datset': known are datasets, models, seeds, folds, options, folder, command; ",
        ),
        ({"episodes": 4}, "study 'study.json' names 'episodes' beside its datasets: write it into 'options'"),
        ({"options": {"episodess": 4}}, "names 'episodess', which train does not know; did you mean 'episodes'?"),
        ({"options": {"episodes": "many"}}, "Invalid value for '--episodes'"),
        ({"options": {"bits": [2, 9]}}, "bit-width 9 is outside 1...8"),
        ({"options": {"num_layers": [1, 2]}}, "has several values of bits or num_layers: a study has one of each"),
        ({"options": {"dataset": "CSL"}}, "has 'dataset' among its options: write it into 'datasets'"),
        ({"options": {"run_dir": "elsewhere"}}, "names 'run_dir': give --run-dir in the command"),
        ({"options": {"workers": 2}}, "names 'workers', which train does not know"),
        (
            {"datasets": ["Cora"], "options": {"data_root": "/etc"}},
            "names the data folder '/etc', which you did not name",
        ),
        (
            {"models": ["net.py:Net"], "options": {}},
            "names a model whose code you did not name: to use what it names, add --model",
        ),
        ({"folder": "/elsewhere"}, "names the folder '/elsewhere', which is not below the present one: give"),
        ({"folder": "../elsewhere"}, "names the folder '../elsewhere', which is not below the present one: give"),
    ],
)
def test_nonsense_in_the_file_is_one_line(invoke: Invoke, changes: dict[str, Any], message: str) -> None:
    Path("net.py").write_text("raise SystemExit('executed')\n")
    ended = invoke("study", write(**changes))
    assert ended.code == 2
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "study 'study.json' cannot be read: No such file or directory"),
        ("{", "study 'study.json' is not JSON: "),
        ("[]", "study 'study.json' is not a JSON object such as "),
        ("{}", "Object missing required field `datasets`"),
    ],
)
def test_no_study_is_one_line(invoke: Invoke, content: str | None, message: str) -> None:
    if content is not None:
        Path("study.json").write_text(content)
    ended = invoke("study", "study.json")
    assert ended.code == 2
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_another_folder_is_left_alone(invoke: Invoke, small_run: Path) -> None:
    write()
    ended = invoke("study", "study.json", "--run-dir", str(small_run))
    assert ended.code == 2
    assert "study folder 'run' holds 'allocations.csv': name a new or empty folder with --run-dir" in ended.stderr
    assert "study folder 'graph.npz' is a file" in invoke("study", "study.json", "--run-dir", "graph.npz").stderr
    Path("runs/study").mkdir(parents=True)
    lock = locked(Path("runs/study"))
    ended = invoke("study", "study.json")
    assert ended.code == 2
    assert "folder 'runs/study' is being used by another process" in ended.stderr
    lock.release()


@pytest.mark.usefixtures("hurried")
def test_a_run_with_other_options_is_not_mistaken_for_one_of_the_study(invoke: Invoke) -> None:
    assert invoke("study", write(seeds=[0]), "--quiet").code == 0
    ended = invoke("study", write(seeds=[0], options=OPTIONS | {"episodes": 3}))
    assert ended.code == 2
    assert ended.stderr == (
        "mixq-rl: run folder 'runs/study/graph-gcn-seed0' has episodes 2, not 3: name a new or empty folder with "
        "--run-dir\n"
    )


@pytest.mark.usefixtures("hurried")
def test_a_model_of_a_file_is_used_if_the_command_names_it(invoke: Invoke) -> None:
    Path("net.py").write_text(
        "from torch_geometric.nn import GCN\n"
        "class Net(GCN):\n"
        "    def __init__(self, in_channels, out_channels):\n"
        "        super().__init__(in_channels, 8, 1, out_channels)\n"
    )
    options = {name: value for name, value in OPTIONS.items() if name not in ("layers", "hidden_channels")}
    write(models=["net.py:Net"], seeds=[0], options=options, folder="mine")
    ended = invoke("study", "study.json", "--model", "net.py:Net", "--quiet")
    assert (ended.code, ended.stderr) == (0, "")
    assert sorted(tables("mine")) == ["graph-net-Net-seed0"]


def test_without_ray_workers_are_refused(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    ended = invoke("study", write(), "--workers", "2")
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr == (
        "mixq-rl: evaluation on workers needs Ray, which is not installed: pip install 'mixq-rl[ray]'\n"
    )
