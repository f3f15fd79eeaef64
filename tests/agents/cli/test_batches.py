"""``--batch-size`` and ``--num-neighbors``: runs that train on parts of the graph."""

import json
from pathlib import Path

import pytest

from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.agents.records.run_config import RunConfig
from mixq_rl.datasets import MiniBatches
from mixq_rl.errors import InputError
from tests.agents.cli.invoking import SMALL, Invoke

NOTE = "a step of training has 32 nodes and at most 4 neighbours of each node, hop by hop, not the whole graph"


@pytest.mark.slow
def test_a_run_on_parts_says_so_and_is_repeated_from_its_configuration(invoke: Invoke) -> None:
    options = ("--batch-size", "32", "--num-neighbors", "4", "--evaluator", "supernet")
    ended = invoke("train", *SMALL, *options, "--run-dir", "run")
    assert (ended.code, ended.stderr) == (0, "")
    assert f"graph.npz: {NOTE}\n" in ended.stdout
    document = json.loads(Path("run/config.json").read_text())
    assert (document["config"]["batch_size"], document["config"]["num_neighbors"]) == (32, "4")
    assert NOTE in document["notes"]
    assert NOTE in Path("run/report.html").read_text()
    assert invoke("train", "--config", "run/config.json", "--run-dir", "again", "--quiet").code == 0
    assert Path("run/allocations.csv").read_bytes() == Path("again/allocations.csv").read_bytes()
    assert invoke("train", *SMALL, "--evaluator", "supernet", "--run-dir", "whole", "--quiet").code == 0
    assert Path("run/allocations.csv").read_bytes() != Path("whole/allocations.csv").read_bytes()


def test_a_large_graph_is_divided_unless_the_whole_graph_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixq_rl.training.mini_batches._MOST_WORK", 1000)
    task, _ = EvaluatorConfig(dataset="rmat-8", model="sage").load()
    assert task.mini_batches == MiniBatches(512, (10, 5))
    assert "512 nodes and at most 10, 5 neighbours" in task.notes[-1]
    whole, _ = EvaluatorConfig(dataset="rmat-8", model="sage", batch_size=0).load()
    assert whole.mini_batches is None


def test_titles_name_the_options_and_evaluators_have_them() -> None:
    config = RunConfig(batch_size=64, num_neighbors="10,5")
    assert config.title("Cora") == "gcn on Cora batch size 64 num neighbors 10,5"
    assert config.evaluator_config() == EvaluatorConfig(batch_size=64, num_neighbors="10,5")


@pytest.mark.parametrize("command", ["train", "search", "transfer", "allocate"])
def test_commands_that_train_refuse_numbers_that_are_none(invoke: Invoke, command: str) -> None:
    ended = invoke(command, "--num-neighbors", "many")
    assert (ended.code, ended.stderr.strip()) == (
        2,
        "mixq-rl: --num-neighbors 'many' is not a list of whole numbers such as 10,5",
    )


def test_numbers_of_neighbours_are_checked_before_anything_is_loaded() -> None:
    with pytest.raises(InputError, match="-3 neighbours"):
        EvaluatorConfig(dataset="nowhere.npz", num_neighbors="-3,5")
