"""``mixq-rl export`` and ``predict``: from a run to a network at work, with and without what searches."""

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import mixq_rl
from mixq_rl.agents import RunResult
from mixq_rl.datasets import Split
from mixq_rl.datasets.graph_folder import save_graph
from tests.agents.cli.invoking import PROGRAM, SMALL, Invoke
from tests.engine_only import Environment


@pytest.fixture
def run(small_run: Path) -> RunResult:
    return RunResult.load(small_run / "result.json")


def classes(path: str) -> list[int]:
    with Path(path).open() as file:
        return [int(row["class"]) for row in csv.DictReader(file)]


def test_the_best_network_is_shipped_and_answers_as_it_did(invoke: Invoke, run: RunResult) -> None:
    ended = invoke("export", "run", "--output", "model", "--json")
    assert ended.code == 0
    printed = json.loads(ended.stdout)
    assert printed["point"] == run.best.label
    assert printed["files"] == sum(Path("model", name).stat().st_size for name in mixq_rl.IntegerModel.FILES)
    origin = json.loads(Path("model/origin.json").read_text())
    assert tuple(origin["allocation"].values()) == run.best.evaluation.allocation
    predicted = json.loads(invoke("predict", "model", "--dataset", "graph.npz", "--json").stdout)
    assert predicted["accuracies"]["test"] == run.best.test_accuracy
    assert predicted["accuracies"]["validation"] == run.best.evaluation.accuracy
    assert predicted["bitops"] == run.best.evaluation.bitops
    model, task = mixq_rl.IntegerModel.load("run/model"), mixq_rl.load_task("graph.npz")
    assert predicted["classes"] == model(task.x, task.edge_index).argmax(dim=1).tolist()
    assert (
        json.loads(invoke("predict", "run", "--dataset", "graph.npz", "--json").stdout)["classes"]
        == (predicted["classes"])
    )


@pytest.mark.parametrize("point", ["1", "agent 1", "uniform 4"])
def test_any_network_of_the_table_can_be_shipped(invoke: Invoke, run: RunResult, point: str) -> None:
    shown = invoke("export", "run", "--point", point, "--output", "model")
    label = "agent 1" if point == "1" else point
    assert shown.stdout.startswith(f"{label} of gcn on graph.npz: ")
    (finalist,) = [finalist for finalist in run.finalists if finalist.label == label]
    assert mixq_rl.IntegerModel.load("model").allocation == finalist.evaluation.allocation


def test_a_program_gives_the_same_logits(invoke: Invoke, run: RunResult) -> None:
    assert invoke("export", "run", "--output", "model", "--program", "--quiet").code == 0
    digest, name = Path("model/program.pt2.sha256").read_text().split()
    assert hashlib.sha256(Path("model", name).read_bytes()).hexdigest() == digest
    program = torch.export.load(Path("model/program.pt2")).module()
    task = mixq_rl.load_task("graph.npz")
    assert torch.equal(program(task.x, task.edge_index), mixq_rl.IntegerModel.load("model")(task.x, task.edge_index))


def test_classes_of_what_has_no_labels_are_written(invoke: Invoke, run: RunResult) -> None:
    task = mixq_rl.load_task("graph.npz")
    newcomers = {"x": task.x[:50].numpy(), "edge_index": np.array([[0, 1, 49], [1, 0, 49]])}
    np.savez("new.npz", **newcomers)
    shown = invoke("predict", "run", "--dataset", "new.npz", "--output", "classes.csv").stdout
    assert "50 nodes of new.npz" in shown
    assert "accuracy" not in shown
    model = mixq_rl.IntegerModel.load("run/model")
    expected = model(task.x[:50], torch.from_numpy(newcomers["edge_index"])).argmax(dim=1)
    assert classes("classes.csv") == expected.tolist()


def test_a_graph_in_a_folder_is_answered_as_the_same_graph_in_a_file(invoke: Invoke, run: RunResult) -> None:
    task = mixq_rl.load_task("graph.npz")
    masks = {f"{name}_mask": task.masks[split] for split, name in SPLITS.items()}
    save_graph("graph.csr", task.x, task.edge_index, y=task.y, **masks)
    streamed, whole = (
        json.loads(invoke("predict", "run", "--dataset", name, "--json").stdout) for name in ("graph.csr", "graph.npz")
    )
    assert streamed.pop("seconds") > 0
    assert whole.pop("seconds") > 0
    assert streamed == whole
    assert invoke("predict", "run", "--dataset", "graph.csr", "--output", "classes.csv").code == 0
    assert classes("classes.csv") == whole["classes"]


SPLITS: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "run", "--output", "run"], "'run' is not empty: name a new or empty folder with --output"),
        (["export", "run", "--point", "99", "--output", "x"], "the run has no point '99': it has best, uniform 4"),
        (["export", "none", "--output", "x"], "'none' is no run folder"),
        (["export", "run"], "Missing option '--output'"),
        (["predict", "none"], "none holds no integer_model"),
        (["predict", "run", "--dataset", "none.npz"], "graph file 'none.npz' does not exist"),
        (["predict", "run", "--dataset", "none.csr"], "graph folder 'none.csr' does not exist"),
        (["predict", "run", "--dataset", "citation"], "1433 features a node where the model takes 40"),
        (["predict", "run", "--dataset", "graph.npz", "--device", "warp"], "device 'warp' cannot be used here"),
        (["predict", "run", "--dataset", "graph.npz", "--device", "meta"], "integers are executed on cpu and cuda"),
        (["predict", "run", "--dataset", "CSL"], "CSL asks about graphs, and this network answers for nodes"),
        (["predict", "run", "--dataset", "graph.npz", "--output", "no/such/file"], "No such file or directory"),
    ],
)
def test_nonsense_is_answered_with_one_line(
    invoke: Invoke, run: RunResult, arguments: Sequence[str], message: str
) -> None:
    ended = invoke(*arguments)
    assert ended.code in (1, 2)
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_an_unfinished_run_has_nothing_to_ship_yet(invoke: Invoke, run: RunResult) -> None:
    Path("run/result.json").unlink()
    ended = invoke("export", "run", "--output", "model")
    assert ended.code == 2
    assert "the run in 'run' has not ended: resume it: mixq-rl train --resume run" in ended.stderr


@pytest.mark.slow
def test_without_what_searches_networks_are_shipped_and_answer_the_same(
    invoke: Invoke, run: RunResult, engine_only: Environment, tmp_path: Path
) -> None:
    def there(*arguments: str, check: bool = True) -> str:
        result = engine_only.run("-c", PROGRAM, *arguments, cwd=tmp_path, check=check)
        return result.stdout if check else result.stderr

    there("export", "run", "--output", "model", "--program")
    answered = json.loads(there("predict", "model", "--dataset", "graph.npz", "--json"))
    assert (
        answered["classes"]
        == json.loads(invoke("predict", "run", "--dataset", "graph.npz", "--json").stdout)["classes"]
    )
    assert json.loads(there("runs", ".", "--json"))["runs"][0]["best"] == run.best.label
    assert "pip install 'mixq-rl[rl]'" in " ".join(there("doctor").split())
    for command in (["train", "--dataset", "graph.npz"], ["allocate"], ["search", "--seeds", "2"]):
        assert there(*command, check=False) == (
            f"mixq-rl: mixq-rl {command[0]} needs more packages: pip install 'mixq-rl[rl]'\n"
        )
    assert "Needs more packages" in there("--help")


def test_a_network_is_asked_for_by_its_folder(invoke: Invoke, run: RunResult) -> None:
    ended = invoke("predict", "graph.npz", "--dataset", "graph.npz")
    assert (ended.code, ended.stdout) == (2, "")
    assert "'graph.npz' is a file: name the folder" in ended.stderr
    Path("run/result.json").rename("result.json")
    ended = invoke("predict", "run", "--dataset", "graph.npz")
    assert ended.code == 2
    assert "has not ended: resume it: mixq-rl train --resume run" in ended.stderr


def test_a_damaged_result_leads_nowhere_else(invoke: Invoke, run: RunResult) -> None:
    result = Path("run/result.json")
    content = result.read_text()
    result.write_text(content.replace('"uniform 4"', '"../../other/model"'))
    ended = invoke("export", "run", "--point", "../../other/model", "--output", "shipped")
    assert ended.code in (1, 2)
    assert "its networks are not float32, uniform and agent" in ended.stderr
    document = json.loads(content)
    document["hypervolume"] = float("nan")
    result.write_text(json.dumps(document))
    ended = invoke("report", "run")
    assert ended.code in (1, 2)
    assert "is damaged: it holds NaN" in ended.stderr


def test_edge_weights_that_have_no_use_are_left_out(invoke: Invoke) -> None:
    assert invoke("train", *SMALL, "--model", "sage", "--run-dir", "run", "--quiet").code == 0
    with np.load("graph.npz") as graph:
        arrays = dict(graph)
    np.savez("weighted.npz", **arrays, edge_weight=np.ones(arrays["edge_index"].shape[1], dtype=np.float32))
    plain, weighted = (
        invoke("predict", "run", "--dataset", f"{name}.npz", "--output", f"{name}.csv")
        for name in ("graph", "weighted")
    )
    assert (plain.code, weighted.code) == (0, 0)
    assert "edge weights of weighted.npz are left out" in weighted.stdout
    assert Path("graph.csv").read_bytes() == Path("weighted.csv").read_bytes()
    assert b"\r" not in Path("graph.csv").read_bytes()
