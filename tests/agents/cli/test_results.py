"""``mixq-rl train``: what it finds, prints and writes."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import mixq_rl
from mixq_rl.agents import PPOAgent
from tests.agents.cli.invoking import run, run_alone, save_graph
from tests.conftest import MakeOnce, make_classified_graphs
from tests.lookup_table import LookupTable


def make_runs(folder: Path) -> None:
    save_graph(folder / "graph.npz")
    for name, command in (("one", run), ("two", run_alone)):
        # Each with a cache of its own: that training is repeated exactly is part of what is compared.
        arguments = ["--dataset", "graph.npz", "--episodes", "72", "--run-dir", name, "--cache", f"{name}-prepared"]
        (folder / f"{name}.txt").write_text(command("train", *arguments, cwd=folder, check=True).stdout)


@pytest.fixture
def runs(make_once: MakeOnce) -> tuple[Path, list[str]]:
    """Two runs of one configuration on a user's own graph, in two processes, and what they printed."""
    folder = make_once("two-runs", make_runs)
    return folder, [(folder / f"{name}.txt").read_text() for name in ("one", "two")]


def of_runs(folder: Path) -> list[str]:
    """Options of a run on the graph of the others, which takes from their cache what it can."""
    return ["--dataset", str(folder / "graph.npz"), "--cache", str(folder / "one-prepared")]


def test_prints_the_table_and_where_the_run_is(runs: tuple[Path, list[str]]) -> None:
    _, (text, _) = runs
    for label in ("float32", "uniform 8", "uniform 4", "uniform 2", "uniform 1", "agent 1", "★", "conv1.weight"):
        assert label in text
    stages = ("training in float32", "training the supernet")
    for stage in (*stages, "searching", "fine-tuning", "measuring"):
        assert stage in text
    assert re.search(r"(agent|uniform) \d+: \d+\.\d× fewer bit operations than float32, test accuracy \d+\.\d", text)
    assert "run folder: one" in text
    assert "tensorboard --logdir one" in text


def test_run_folder_is_complete(runs: tuple[Path, list[str]]) -> None:
    folder, _ = runs
    names = {path.name for path in (folder / "one").iterdir() if not path.name.startswith((".", "events.out.tfevents"))}
    files = {"config.json", "log.txt", "evaluations.sqlite", "allocations.csv", "result.json", "pareto.png"}
    assert names == files | {"report.html", "policy", "start", "finalists", "model"}
    config = json.loads((folder / "one" / "config.json").read_text())
    assert config["config"]["bits"] == [1, 2, 4, 8]
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
    assert [int(best[name]) for name in model.components] == list(model.allocation)
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


def test_another_seed_another_run(runs: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, _ = runs
    arguments = [*of_runs(folder), "--episodes", "8", "--seed", "1", "--run-dir", "odd $name$ [/x]"]
    text = run("train", *arguments, cwd=tmp_path, check=True).stdout
    assert "run folder: odd $name$ [/x]" in text
    assert (tmp_path / "odd $name$ [/x]" / "allocations.csv").read_text() != (
        folder / "one" / "allocations.csv"
    ).read_text()


def rewards(folder: Path) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder)).Reload()
    return [(event.step, event.value) for event in events.Scalars("search/reward_mean")]


def test_tensorboard_holds_the_search(runs: tuple[Path, list[str]]) -> None:
    folder, _ = runs
    events = EventAccumulator(str(folder / "one")).Reload()
    tags = events.Tags()
    names = ("reward_mean", "reward_best", "accuracy", "estimated_accuracy", "reduction", "hypervolume", "evaluations")
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
        pytest.param(["--max-reduction", "9"], "highest accuracy with at most", marks=pytest.mark.slow),
    ],
)
def test_limits_are_searched_for_and_kept(
    limit: list[str], words: str, runs: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, _ = runs
    arguments = [*of_runs(folder), "--episodes", "24", *limit, "--run-dir", "run"]
    text = run("train", *arguments, cwd=tmp_path, check=True).stdout
    assert words in " ".join(text.split())
    with (tmp_path / "run" / "allocations.csv").open() as file:
        reference, *rows = csv.DictReader(file)
    (best,) = [row for row in rows if row["best"] == "1"]
    if "--max-reduction" in limit:
        assert float(best["reduction"]) >= 9
    else:
        drop = float(reference["estimated_accuracy"]) - float(best["estimated_accuracy"])
        others = [float(row["estimated_accuracy"]) for row in rows]
        assert drop <= 0.015 or max(others) == float(best["estimated_accuracy"])


def test_limits_out_of_reach_are_answered_with_what_is_in_reach(runs: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, _ = runs
    result = run("train", *of_runs(folder), "--max-reduction", "40", cwd=tmp_path)
    assert result.code == 2
    assert "bit operations cannot be kept: allocations take" in result.stderr
    assert "(4×)" in result.stderr


def test_latency_is_searched_for_and_shown(runs: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, _ = runs
    arguments = [*of_runs(folder), "--episodes", "8", "--bits", "4,8", "--objective", "latency"]
    text = run("train", *arguments, "--run-dir", "timed", cwd=tmp_path, check=True).stdout
    assert "time in ms (and speed-up)" in text
    assert "on this machine under its present load" in text
    assert "(1.00×)" in text
    assert json.loads((tmp_path / "timed" / "config.json").read_text())["config"]["objective"] == "latency"
    with (tmp_path / "timed" / "allocations.csv").open() as file:
        reference, *rows = csv.DictReader(file)
    for row in rows:
        assert float(row["speed_up"]) == pytest.approx(float(reference["seconds"]) / float(row["seconds"]))
    tags = EventAccumulator(str(tmp_path / "timed")).Reload().Tags()
    assert {"search/speed_up", "final/best_speed_up"} <= set(tags["scalars"])
    untimed = EventAccumulator(str(folder / "one")).Reload().Tags()
    assert not [tag for tag in untimed["scalars"] if "speed_up" in tag]


def make_graph_run(folder: Path) -> None:
    task = make_classified_graphs()
    assert task.batch is not None
    arrays = {"x": task.x, "edge_index": task.edge_index, "y": task.y, "batch": task.batch}
    np.savez(folder / "graphs.npz", **{name: entry.numpy() for name, entry in arrays.items()})
    options = ["--model", "gin", "--layers", "1", "--hidden-channels", "8", "--fold", "3", "--bits", "4,8"]
    arguments = ["--dataset", "graphs.npz", *options, "--evaluator", "post-training", "--episodes", "2"]
    (folder / "printed.txt").write_text(run("train", *arguments, "--run-dir", "run", cwd=folder, check=True).stdout)


@pytest.fixture
def graph_run(make_once: MakeOnce) -> tuple[Path, str]:
    """A run on a user's own graphs, and what it printed."""
    folder = make_once("run-on-graphs", make_graph_run)
    return folder, (folder / "printed.txt").read_text()


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


@pytest.mark.slow
def test_real_graphs_are_searched(data_root: Path, tmp_path: Path) -> None:
    options = ["--model", "gin", "--layers", "1", "--episodes", "2", "--evaluator", "post-training", "--bits", "8"]
    arguments = ["--dataset", "MUTAG", "--data-root", str(data_root), *options]
    text = run("train", *arguments, cwd=tmp_path, check=True).stdout
    assert "uniform 8 ★" in text
    folder, prepared = sorted((tmp_path / "runs").iterdir())
    assert prepared.name == "prepared"
    assert folder.name.startswith("MUTAG-gin-seed0-")
