import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import mixq_rl
from mixq_rl.agents import PPOAgent
from tests.conftest import make_classified_graphs, make_task
from tests.lookup_table import LookupTable


def run(*arguments: str, cwd: Path, check: bool = False) -> subprocess.CompletedProcess[str]:
    program = "from mixq_rl.agents.cli import main; main()"
    environment = {name: value for name, value in os.environ.items() if name != "MIXQ_RL_DATA"}
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if check:
        assert result.returncode == 0, result.stderr
    return result


def save_graph(path: Path, **changes: np.ndarray) -> Path:
    task = make_task()
    graph = {
        "x": task.x.numpy(),
        "edge_index": task.edge_index.numpy(),
        "y": task.y.numpy(),
        "train_mask": task.masks["train"].numpy(),
        "val_mask": task.masks["validation"].numpy(),
        "test_mask": task.masks["test"].numpy(),
    }
    np.savez(path, **{**graph, **changes})
    return path


NOT_FINITE = make_task().x.numpy().copy()
NOT_FINITE[7, 3] = np.nan


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--dataset", "Coraa"],
            "did you mean 'Cora'?; or write tu:NAME for another dataset of TUDataset, or give the path of a file",
        ),
        (
            ["--dataset", "Cora"],
            "data folder 'data' does not exist: looked for the files of Cora in 'data/planetoid/Cora/raw'",
        ),
        (["--dataset", "none.npz"], "graph file 'none.npz' does not exist"),
        (["--dataset", "CSL", "--fold", "5"], "CSL has no fold 5: it has folds 0...4"),
        (["--dataset", "citation", "--fold", "0x"], "Invalid value for '--fold'"),
        (["--dataset", "citation", "--fold", "1"], "citation has no fold 1: it has one split: leave the fold out"),
        (["--model", "gcm"], "unknown model 'gcm': known are gcn, sage, gin, gat, tag; did you mean 'gcn'?"),
        (["--model", "gat", "--hidden-channels", "12"], "12 hidden channels of a gat: they are split among 8 heads"),
        (["--layers", "0"], "a gcn of 0 layers of width 128: both must be at least 1"),
        (["--hidden-channels", "-3"], "a gcn of 2 layers of width -3: both must be at least 1"),
        (
            ["--evaluator", "supernett"],
            "unknown evaluator 'supernett': known are supernet, fine-tune, post-training; did you mean 'supernet'?",
        ),
        (["--objective", "latancy"], "unknown objective 'latancy': known are bitops, latency; did you mean 'latency'?"),
        (["--scheme", "lsqq"], "unknown quantization scheme 'lsqq': known are lsq,"),
        (["--bits", "3,x"], "--bits '3,x' is not a list of whole numbers"),
        (["--bits", ""], "--bits '' is not a list of whole numbers"),
        (["--bits", "2,9"], "bit-width 9 is outside 1...8"),
        (["--bits", "0"], "bit-width 0 is outside 1...8"),
        (["--episodes", "0"], "0 episodes: at least 1 is needed"),
        (["--episodes", "many"], "Invalid value for '--episodes'"),
        (["--seed", "-1"], "seed -1 is outside"),
        (["--bogus"], "--bogus"),
    ],
)
def test_nonsense_is_answered_with_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = run("train", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.startswith("mixq-rl: ")
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": NOT_FINITE}, "features of node 7 are not finite"),
        ({"edge_index": np.array([[0], [150]])}, "names node 150, but the graph has nodes 0...149"),
        ({"y": np.zeros(7, dtype=int)}, "y has shape [7], but there are 150 nodes"),
        ({"train_mask": np.zeros(150, dtype=bool)}, "the train mask is empty"),
    ],
)
def test_bad_graphs_are_answered_with_one_line(changes: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    save_graph(tmp_path / "graph.npz", **changes)
    result = run("train", "--dataset", "graph.npz", cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["graph.npz"]


def test_run_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    save_graph(tmp_path / "graph.npz")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("keep")
    result = run("train", "--dataset", "graph.npz", "--run-dir", "run", cwd=tmp_path)
    assert result.returncode == 2
    assert "run folder 'run' holds 'mine.txt'" in result.stderr
    result = run("train", "--dataset", "graph.npz", "--run-dir", "graph.npz", cwd=tmp_path)
    assert result.returncode == 2
    assert "run folder 'graph.npz' is a file" in result.stderr


def test_help_and_version(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path, check=True).stdout == f"mixq-rl {mixq_rl.__version__}\n"
    assert "train" in run(cwd=tmp_path, check=True).stdout
    text = run("train", "--help", cwd=tmp_path, check=True).stdout
    names = (
        "dataset",
        "fold",
        "model",
        "layers",
        "hidden-channels",
        "episodes",
        "bits",
        "objective",
        "evaluator",
        "scheme",
    )
    names += ("seed", "data-root", "run-dir")
    for option in (f"--{name}" for name in names):
        assert option in text


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Two runs of one configuration on a user's own graph, and what they printed."""
    folder = tmp_path_factory.mktemp("runs")
    save_graph(folder / "graph.npz")
    printed = []
    for name in ("one", "two"):
        # Each with a cache of its own: that training is repeated exactly is part of what is compared.
        arguments = ["--dataset", "graph.npz", "--episodes", "72", "--run-dir", name, "--cache", f"{name}-prepared"]
        printed.append(run("train", *arguments, cwd=folder, check=True).stdout)
    return folder, printed


def test_prints_the_table_and_where_the_run_is(runs: tuple[Path, list[str]]) -> None:
    _, (text, _) = runs
    for label in ("float32", "uniform 8", "uniform 4", "uniform 2", "agent 1", "★", "conv1.weight"):
        assert label in text
    stages = ("training in float32", "training the supernet")
    for stage in (*stages, "searching", "fine-tuning", "measuring"):
        assert stage in text
    assert "run folder: one" in text
    assert "tensorboard --logdir one" in text


def test_run_folder_is_complete(runs: tuple[Path, list[str]]) -> None:
    folder, _ = runs
    names = {path.name for path in (folder / "one").iterdir() if not path.name.startswith((".", "events.out.tfevents"))}
    files = {"config.json", "log.txt", "evaluations.sqlite", "allocations.csv", "result.json", "pareto.png"}
    assert names == files | {"report.html", "policy", "finalists", "model"}
    config = json.loads((folder / "one" / "config.json").read_text())
    assert config["config"]["bits"] == [2, 4, 8]
    assert config["config"]["objective"] == "bitops"
    assert config["config"]["evaluator"] == "supernet"
    assert [config["config"][name] for name in ("num_layers", "hidden_channels", "fold")] == [None] * 3
    assert config["packages"]["mixq-rl"] == mixq_rl.__version__
    assert (folder / "one" / "pareto.png").read_bytes().startswith(b"\x89PNG")
    assert set(PPOAgent.load(folder / "one" / "policy").allocate(LookupTable())) <= {2, 4, 8}


def test_table_agrees_with_the_model_that_was_saved(runs: tuple[Path, list[str]]) -> None:
    folder, _ = runs
    with (folder / "one" / "allocations.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["network"] for row in rows][:4] == ["float32", "uniform 8", "uniform 4", "uniform 2"]
    (best,) = [row for row in rows if row["best"] == "1"]
    model = mixq_rl.IntegerModel.load(folder / "one" / "model")
    assert [int(best[name]) for name in list(best)[8:]] == list(model.allocation)
    task = mixq_rl.load_task(str(folder / "graph.npz"))
    with mixq_rl.OpMeter() as meter:
        logits = model(task.x, task.edge_index)
    assert float(best["test_accuracy"]) == task.accuracy(logits, "test")
    assert float(best["validation_accuracy"]) == task.accuracy(logits, "validation")
    assert float(best["bitops"]) == meter.bitops("linear")
    assert float(best["product_bitops"]) == meter.bitops("product")
    assert float(best["reduction"]) == pytest.approx(float(rows[0]["bitops"]) / float(best["bitops"]))


def test_same_seed_same_run(runs: tuple[Path, list[str]]) -> None:
    folder, printed = runs
    for file in ("allocations.csv", "config.json", "policy/policy.safetensors", "model/integer_model.safetensors"):
        assert (folder / "one" / file).read_bytes() == (folder / "two" / file).read_bytes(), file
    first, second = (text[text.index("accuracy in %") : text.rindex("run folder")] for text in printed)
    assert first == second
    one, two = (rewards(folder / name) for name in ("one", "two"))
    assert one == two
    assert len(one) > 1


def test_another_seed_another_run(runs: tuple[Path, list[str]]) -> None:
    folder, _ = runs
    arguments = ["--dataset", "graph.npz", "--episodes", "8", "--seed", "1", "--run-dir", "odd $name$ [/x]"]
    text = run("train", *arguments, cwd=folder, check=True).stdout
    assert "run folder: odd $name$ [/x]" in text
    assert (folder / "odd $name$ [/x]" / "allocations.csv").read_text() != (
        folder / "one" / "allocations.csv"
    ).read_text()


def rewards(folder: Path) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder)).Reload()
    return [(event.step, event.value) for event in events.Scalars("search/reward_mean")]


def test_tensorboard_holds_the_search(runs: tuple[Path, list[str]]) -> None:
    folder, _ = runs
    events = EventAccumulator(str(folder / "one")).Reload()
    tags = events.Tags()
    names = ("reward_mean", "reward_best", "accuracy", "reduction", "hypervolume", "evaluations")
    expected = {f"search/{name}" for name in (*names, "evaluations_per_second")}
    expected |= {f"bits/{name}" for name in ("conv1.input", "conv1.weight", "conv2.aggregate")}
    expected |= {"train/entropy_loss"}
    assert expected <= set(tags["scalars"])
    assert {"search/pareto", "final/pareto"} <= set(tags["images"])
    volumes = [event.value for event in events.Scalars("search/hypervolume")]
    assert volumes == sorted(volumes)
    steps = [event.step for event in events.Scalars("search/evaluations")]
    assert steps == [event.value for event in events.Scalars("search/evaluations")]
    assert steps[-1] == 72


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (["--max-drop", "1.5"], "greatest saving at most 1.5 points below float32"),
        (["--max-reduction", "9"], "highest accuracy with at most"),
    ],
)
def test_limits_are_searched_for_and_kept(
    limit: list[str], words: str, runs: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, _ = runs
    arguments = ["--dataset", str(folder / "graph.npz"), "--episodes", "24", *limit, "--run-dir", "run"]
    text = run("train", *arguments, cwd=tmp_path, check=True).stdout
    assert words in " ".join(text.split())
    with (tmp_path / "run" / "allocations.csv").open() as file:
        reference, *rows = csv.DictReader(file)
    (best,) = [row for row in rows if row["best"] == "1"]
    if "--max-reduction" in limit:
        assert float(best["reduction"]) >= 9
    else:
        drop = float(reference["validation_accuracy"]) - float(best["validation_accuracy"])
        others = [float(row["validation_accuracy"]) for row in rows]
        assert drop <= 0.015 or max(others) == float(best["validation_accuracy"])


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (["--max-drop", "1", "--max-bitops", "1e9"], "max_drop and max_bitops: a search has one limit"),
        (["--max-drop", "-1"], "a drop of at most -1 points: it must be within 0...100"),
        (["--max-reduction", "0"], "0 times fewer bit operations: it must be positive and finite"),
        (["--max-reduction", "inf"], "inf times fewer bit operations: it must be positive and finite"),
        (["--max-bitops", "1e9", "--objective", "latency"], "choose one of the two"),
    ],
)
def test_limits_that_make_no_sense_are_answered_with_one_line(limit: list[str], message: str, tmp_path: Path) -> None:
    result = run("train", *limit, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_limits_out_of_reach_are_answered_with_what_is_in_reach(runs: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, _ = runs
    result = run("train", "--dataset", str(folder / "graph.npz"), "--max-reduction", "40", cwd=tmp_path)
    assert result.returncode == 2
    assert "bit operations cannot be kept: allocations take" in result.stderr
    assert "(4×)" in result.stderr


def test_latency_is_searched_for_and_shown(runs: tuple[Path, list[str]]) -> None:
    folder, _ = runs
    arguments = ["--dataset", "graph.npz", "--episodes", "8", "--bits", "4,8", "--objective", "latency"]
    text = run("train", *arguments, "--run-dir", "timed", cwd=folder, check=True).stdout
    assert "time in ms (and speed-up)" in text
    assert "on this machine under its present load" in text
    assert "(1.00×)" in text
    assert json.loads((folder / "timed" / "config.json").read_text())["config"]["objective"] == "latency"
    with (folder / "timed" / "allocations.csv").open() as file:
        reference, *rows = csv.DictReader(file)
    for row in rows:
        assert float(row["speed_up"]) == pytest.approx(float(reference["seconds"]) / float(row["seconds"]))
    tags = EventAccumulator(str(folder / "timed")).Reload().Tags()
    assert {"search/speed_up", "final/best_speed_up"} <= set(tags["scalars"])
    untimed = EventAccumulator(str(folder / "one")).Reload().Tags()
    assert not [tag for tag in untimed["scalars"] if "speed_up" in tag]


@pytest.fixture(scope="module")
def graph_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run on a user's own graphs, and what it printed."""
    folder, task = tmp_path_factory.mktemp("graphs"), make_classified_graphs()
    assert task.batch is not None
    arrays = {"x": task.x, "edge_index": task.edge_index, "y": task.y, "batch": task.batch}
    np.savez(folder / "graphs.npz", **{name: entry.numpy() for name, entry in arrays.items()})
    options = ["--model", "gin", "--layers", "1", "--hidden-channels", "8", "--fold", "3", "--bits", "4,8"]
    arguments = ["--dataset", "graphs.npz", *options, "--evaluator", "post-training", "--episodes", "2"]
    return folder, run("train", *arguments, "--run-dir", "run", cwd=folder, check=True).stdout


def test_graphs_are_classified(graph_run: tuple[Path, str]) -> None:
    folder, text = graph_run
    for part in ("calibrating", "float32", "uniform 8", "★", "conv1.aggregate", "pool.aggregate", "lin2.output"):
        assert part in text
    assert "supernet" not in text
    config = json.loads((folder / "run" / "config.json").read_text())["config"]
    given = {"model": "gin", "num_layers": 1, "hidden_channels": 8, "fold": 3, "evaluator": "post-training"}
    assert given.items() <= config.items()


def test_table_of_graphs_agrees_with_the_model_that_was_saved(graph_run: tuple[Path, str]) -> None:
    folder, _ = graph_run
    with (folder / "run" / "allocations.csv").open() as file:
        rows = list(csv.DictReader(file))
    (best,) = [row for row in rows if row["best"] == "1"]
    model = mixq_rl.IntegerModel.load(folder / "run" / "model")
    task = mixq_rl.load_task(str(folder / "graphs.npz"), fold=3)
    for split, column in (("validation", "validation_accuracy"), ("test", "test_accuracy")):
        inputs = task.inputs(split)
        logits = model(inputs.x, inputs.graph.edge_index, batch=inputs.graph.batch)
        assert float(best[column]) == task.accuracy(logits, split)
    assert [int(best[name]) for name in model.components] == list(model.allocation)


def test_real_graphs_are_searched(data_root: Path, tmp_path: Path) -> None:
    options = ["--model", "gin", "--layers", "1", "--episodes", "2", "--evaluator", "post-training", "--bits", "8"]
    arguments = ["--dataset", "MUTAG", "--data-root", str(data_root), *options]
    text = run("train", *arguments, cwd=tmp_path, check=True).stdout
    assert "uniform 8 ★" in text
    folder, prepared = sorted((tmp_path / "runs").iterdir())
    assert prepared.name == "prepared"
    assert folder.name.startswith("MUTAG-gin-seed0-")
