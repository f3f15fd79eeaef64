"""A real TensorBoard on finished runs: what docs/tensorboard.md names is served, and nothing else is written."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mixq_rl.agents import (
    EvaluatorConfig,
    PolicyPlan,
    RunConfig,
    SearchPlan,
    resume_policy,
    resume_training,
    run_searches,
    train,
    train_policy,
)
from mixq_rl.agents.monitoring.hyperparameters import HYPERPARAMETERS, METRICS
from mixq_rl.training import Progress
from mixq_rl.training.cache import PreparationCache
from tests.agents.cli.invoking import save_graph
from tests.agents.monitoring.server import Ask, tensorboard, wait_for
from tests.conftest import MakeOnce

ROOT = Path(__file__).parents[3]
SETTINGS: dict[str, Any] = {"evaluator": "post-training", "bits": (4, 8), "num_layers": 1}
TASKS = tuple(
    f"{number}-{model}-on-graph.npz-bits-4,8-num-layers-1-evaluator-post-training"
    for number, model in enumerate(("gcn", "sage"), start=1)
)


def make_runs(place: Path) -> None:
    folder = place / "runs"
    folder.mkdir()
    graph, cache = str(save_graph(place / "graph.npz")), PreparationCache(place / "prepared")
    timed = RunConfig(dataset=graph, episodes=16, objective="latency", **SETTINGS)
    train(timed, folder / "timed", cache=cache)
    train(RunConfig(dataset=graph, episodes=14, **SETTINGS), folder / "plain", cache=cache)
    tasks = [EvaluatorConfig(dataset=graph, model=model, **SETTINGS) for model in ("gcn", "sage")]
    train_policy(PolicyPlan(tuple(tasks), episodes=16), folder / "policy", cache=cache)
    plan = SearchPlan(algorithms=("random", "ppo"), evaluations=16, from_scratch=True)
    run_searches(tasks[0], plan, folder / "searches", cache=cache)


@pytest.fixture(scope="module")
def runs(make_once: MakeOnce) -> Path:
    """Where runs of all kinds have finished: together they write all that is ever written."""
    return make_once("watched", make_runs) / "runs"


@pytest.fixture(scope="module", params=[False, True], ids=["python", "rust"])
def ask(runs: Path, request: pytest.FixtureRequest) -> Iterator[Ask]:
    with tensorboard(runs, load_fast=request.param) as ask:
        wait_for(lambda: len(ask("runs")) == 7 and "final/table" in ask("plugin/text/tags").get("plain", {}))
        yield ask


def documented() -> set[str]:
    rows = re.findall(r"^\| `([^` ]+)` \|", (ROOT / "docs" / "tensorboard.md").read_text(), flags=re.MULTILINE)
    assert len(rows) == len(set(rows))
    return set(rows)


def written(ask: Ask) -> dict[str, dict[str, list[str]]]:
    """Return the tags of each plugin by run."""
    found = {}
    for plugin in ("scalars", "images", "histograms", "text"):
        found[plugin] = {run: list(tags) for run, tags in ask(f"plugin/{plugin}/tags").items()}
    return found


def test_documented_tags_are_those_that_are_written(ask: Ask, runs: Path) -> None:
    tags = {tag for by_run in written(ask).values() for found in by_run.values() for tag in found}
    kinds = {re.sub(r"^(bits|bits_chosen|kernel_time)/.*", r"\1/<component>", tag) for tag in tags}
    kinds = {re.sub(r"^tasks/.*/hypervolume$", "tasks/<task>/hypervolume", tag) for tag in kinds}
    hidden = {tag for tag in documented() if tag.startswith(("_hparams_", "custom_scalars__"))}
    assert kinds == documented() - hidden - {"search/estimated_accuracy"}  # only evaluations of supernets have it
    raw = b"".join(path.read_bytes() for path in (runs / "plain").glob("events*"))
    assert len(hidden) == 4
    assert all(tag.encode() in raw for tag in hidden)


def test_every_tag_is_served(ask: Ask) -> None:
    tags = written(ask)
    for run, found in tags["scalars"].items():
        for tag in found:
            entries = ask("plugin/scalars/scalars", run=run, tag=tag)
            assert entries, (run, tag)
            assert all(step > 0 for _, step, _ in entries)
    for run, found in tags["images"].items():
        for tag in found:
            images = ask("plugin/images/images", run=run, tag=tag)
            assert ask(f"plugin/images/individualImage?{images[-1]['query']}").startswith(b"\x89PNG")
    for run, found in tags["histograms"].items():
        for tag in found:
            for _, _, bins in ask("plugin/histograms/histograms", run=run, tag=tag):
                assert {(left, right) for left, right, count in bins if count} <= {(3.5, 4.5), (7.5, 8.5)}
    for run, found in tags["text"].items():
        for tag in found:
            assert "<table>" in ask("plugin/text/text", run=run, tag=tag)[-1]["text"], tag


def test_each_kind_of_run_has_its_own_tags(ask: Ask) -> None:
    scalars = ask("plugin/scalars/tags")
    assert {"final/best_speed_up", "search/speed_up"} <= set(scalars["timed"])
    assert not [tag for tag in scalars["plain"] if "speed_up" in tag]
    assert {"train/policy_entropy", "search/reward_best", "bits/conv1.aggregate"} <= set(scalars["searches/ppo-seed0"])
    assert "train/loss" not in scalars["searches/random-seed0"]
    assert {tag for tag in scalars["policy"] if not tag.startswith("train/")} == {
        f"tasks/{model} on graph.npz bits 4,8 num layers 1 evaluator post-training/hypervolume"
        for model in ("gcn", "sage")
    }
    for task in TASKS:
        assert "search/hypervolume" in scalars[f"policy/tasks/{task}"]
    images = ask("plugin/images/tags")
    for run in ("timed", "plain", "searches/ppo-seed0", *(f"policy/tasks/{task}" for task in TASKS)):
        assert {"search/pareto", "search/bits", "search/accuracy_bitops"} <= set(images[run])
        assert ask("plugin/images/images", run=run, tag="search/bits")[-1]["step"] >= 14


def test_runs_are_compared_by_what_they_were_given(ask: Ask) -> None:
    experiment = ask("plugin/hparams/experiment", request="{}")
    assert {info["name"] for info in experiment["hparamInfos"]} == set(HYPERPARAMETERS)
    assert {info["name"]["tag"] for info in experiment["metricInfos"]} == set(METRICS)
    wanted = {"allowedStatuses": ["STATUS_SUCCESS"], "colParams": [], "sliceSize": 100}
    groups = ask("plugin/hparams/session_groups", request=json.dumps(wanted))["sessionGroups"]
    sessions = {group["sessions"][0]["name"]: group for group in groups}
    tasks = {f"policy/tasks/{task}" for task in TASKS}
    assert set(sessions) == {"timed", "plain", "searches/random-seed0", "searches/ppo-seed0", *tasks}
    given = {run: group["hparams"] for run, group in sessions.items()}
    assert given["timed"]["objective"] == "latency"
    assert (given["plain"]["seed"], given["plain"]["episodes"], given["plain"]["bits"]) == ("0", 14, "4,8")
    assert not {"max_drop", "max_size", "pin"} & given["plain"].keys()
    assert given["searches/random-seed0"]["search"] == "random"
    metrics = {
        run: {entry["name"]["tag"]: entry["value"] for entry in group["metricValues"]}
        for run, group in sessions.items()
    }
    others = {tag for tag in METRICS if tag.startswith("final/best_") and tag.endswith(("-accuracy", "-f1", "-auc"))}
    assert set(METRICS) - set(metrics["timed"]) - others == {"final/best_size_reduction"}
    assert set(METRICS) - set(metrics["plain"]) - others == {"final/best_size_reduction", "final/best_speed_up"}
    assert metrics["searches/random-seed0"]["search/evaluations"] == 16


def test_what_belongs_together_is_drawn_together(ask: Ask) -> None:
    layout = ask("plugin/custom_scalars/layout")["category"]
    charts = {
        (group["title"], chart["title"]): chart["multiline"]["tag"] for group in layout for chart in group["chart"]
    }
    scalars = {tag for tags in ask("plugin/scalars/tags").values() for tag in tags}
    drawn = {name: {tag for tag in scalars if any(re.match(p, tag) for p in tags)} for name, tags in charts.items()}
    assert all(drawn.values())
    assert drawn["search", "reward"] == {"search/reward_mean", "search/reward_best"}
    assert drawn["search", "evaluations"] == {"search/evaluations", "search/cache_hits"}
    names = ("input", "weight", "message", "adjacency", "aggregate")
    assert {f"bits/conv1.{name}" for name in names} <= drawn["bits by layer", "conv1"]
    assert "kernel_time/conv1.message" in drawn["kernel time by layer (ms)", "conv1"]


def test_a_search_that_is_run_again_starts_its_events_anew(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    config = EvaluatorConfig(dataset=str(runs.parent / "graph.npz"), **SETTINGS)
    cache = PreparationCache(runs.parent / "prepared")
    for evaluations in (32, 16):
        run_searches(config, SearchPlan(algorithms=("random",), evaluations=evaluations), folder, cache=cache)
    assert len(list((folder / "random-seed0").iterdir())) == 2
    with tensorboard(folder, load_fast=False) as ask:
        tags = wait_for(lambda: ask("plugin/scalars/tags").get("random-seed0"))
        assert "search/evaluations" in tags
        wait_for(lambda: max(shown(ask)) == 16)


def shown(ask: Ask) -> list[int]:
    return [step for _, step, _ in ask("plugin/scalars/scalars", run="random-seed0", tag="search/evaluations")]


class Stopped(Exception):  # noqa: N818  not an error of the run's
    """Stands for whatever ends a process."""


@contextmanager
def stopping(what: str, unit: str) -> Iterator[Progress]:
    """A stage that ends the run in the search, when a checkpoint has been made and more has been written."""

    def progress(done: int, total: int) -> None:
        if unit == "episodes" and 4 * done >= 3 * total:
            raise Stopped

    yield progress


def history(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the scalars of a run, but for times and for what the store had from the process that was stopped."""
    events = EventAccumulator(str(folder)).Reload()
    others = ("search/evaluations_per_second", "search/cache_hits", "kernel_time/")
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith(others)]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def test_a_run_that_was_stopped_and_resumed_has_one_history(runs: Path, tmp_path: Path) -> None:
    graph, cache = str(runs.parent / "graph.npz"), PreparationCache(runs.parent / "prepared")
    with pytest.raises(Stopped):
        train(RunConfig(dataset=graph, episodes=14, **SETTINGS), tmp_path / "plain", stopping, cache)
    assert "final/best_accuracy" not in history(tmp_path / "plain")
    resume_training(tmp_path / "plain", cache=cache)
    assert history(tmp_path / "plain") == history(runs / "plain")


def test_a_policy_that_was_stopped_and_resumed_has_one_history(runs: Path, tmp_path: Path) -> None:
    graph, cache = str(runs.parent / "graph.npz"), PreparationCache(runs.parent / "prepared")
    tasks = [EvaluatorConfig(dataset=graph, model=model, **SETTINGS) for model in ("gcn", "sage")]
    with pytest.raises(Stopped):
        train_policy(PolicyPlan(tuple(tasks), episodes=16), tmp_path / "policy", stopping, cache)
    resume_policy(tmp_path / "policy", cache=cache)
    for folder in (".", *(f"tasks/{task}" for task in TASKS)):
        assert history(tmp_path / "policy" / folder) == history(runs / "policy" / folder)
        assert history(runs / "policy" / folder)
