"""``mixq-rl inspect``, and what ``train``, ``report`` and ``predict`` say of a user's data."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.agents.cli.invoking import SMALL, Invoke, save_graph


def arrays() -> dict[str, np.ndarray]:
    with np.load("graph.npz") as graph:
        return dict(graph)


def test_says_what_a_graph_holds(invoke: Invoke) -> None:
    graph = arrays()
    x = graph["x"].copy()
    x[7, 3] = 1e6
    edges = np.concatenate([graph["edge_index"], graph["edge_index"][:, :1]], axis=1)
    save_graph(Path("mine.npz"), x=x, edge_index=edges, pos=np.ones(3), y=10 * graph["y"] + 10)
    ended = invoke("inspect", "mine.npz")
    assert ended.code == 0
    for part in ("not used: pos", "classes 10, 20", "column 3 reaches 1e+06 at node 7", "→ one scale", "duplicates"):
        assert part in ended.stdout
    assert not ended.stderr
    found = json.loads(invoke("inspect", "mine.npz", "--json").stdout)["findings"]
    assert {"subject", "found", "meaning", "matters"} == set(found[0])
    assert {finding["subject"] for finding in found if finding["matters"]} >= {"scale", "duplicates"}
    assert invoke("inspect", "mine.npz", "--quiet").stdout == ""


def test_looks_at_what_training_refuses(invoke: Invoke) -> None:
    x = arrays()["x"].copy()
    x[5, 2] = np.nan
    save_graph(Path("mine.npz"), x=x)
    ended = invoke("inspect", "mine.npz")
    assert ended.code == 0
    assert "refused" in ended.stdout
    assert "at node 5, column 2 NaN" in ended.stdout
    save_graph(Path("mine.npz"), y=np.random.default_rng(0).random(len(x)))
    assert "regression is not supported" in invoke("inspect", "mine.npz").stdout


def test_names_of_datasets_and_bits(invoke: Invoke) -> None:
    assert "no finding matters" in invoke("inspect", "citation", "--bits", "2,4").stdout
    assert "2,708 nodes" in invoke("inspect", "citation").stdout
    assert "no finding matters" in invoke("inspect", "rmat-10").stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("edges.csv", "files ending in '.csv' are not read, only those ending in .npz or .pt"),
        ("edges", "unknown dataset 'edges'"),
        (".", "'.' is a folder: name a file ending in .npz or .pt"),
        ("plain", "'plain': files without a suffix are not read"),
        ("graph.pkl", "files ending in '.pkl' are not read"),
        ("empty.npz", "the file is empty"),
        ("empty.pt", "the file is empty"),
        ("none.npz", "graph file 'none.npz' does not exist"),
    ],
)
def test_what_is_no_graph_is_answered_with_one_line(invoke: Invoke, name: str, message: str) -> None:
    for made in ("edges.csv", "plain", "empty.npz", "empty.pt"):
        Path(made).touch()
    ended = invoke("inspect", name)
    assert ended.code == 2
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_run_says_what_was_done_and_keeps_it(invoke: Invoke) -> None:
    graph = arrays()
    weight = np.ones(graph["edge_index"].shape[1])
    save_graph(Path("graph.npz"), y=10 * graph["y"] + 10, edge_attr=weight, pos=np.ones(3))
    ended = invoke("train", *SMALL, "--model", "sage", "--run-dir", "run")
    assert ended.code == 0, ended.stderr
    notes = json.loads(Path("run/config.json").read_text())["notes"]
    assert any(note.startswith("classes 10, 20") for note in notes)
    assert "the edge weights are not used: sage takes none" in notes
    for note in notes:
        assert f"graph.npz: {note}" in ended.stdout
        assert note.replace("'", "&#39;") in Path("run/report.html").read_text()
    assert invoke("predict", "run", "--dataset", "graph.npz", "--output", "classes.csv").code == 0
    with Path("classes.csv").open() as file:
        names = {row["class"] for row in csv.DictReader(file)}
    assert names <= {str(10 * label + 10) for label in graph["y"].tolist()}
    assert invoke("export", "run", "--output", "model", "--quiet").code == 0
    shipped = json.loads(invoke("predict", "model", "--dataset", "graph.npz", "--json").stdout)
    assert set(shipped["classes"]) == names
    printed = json.loads(invoke("predict", "run", "--dataset", "graph.npz", "--json").stdout)
    assert set(printed["classes"]) == names
    result = json.loads(Path("run/result.json").read_text())
    (best,) = [row for row in result["finalists"] if row["label"] == result["best"]]
    assert printed["accuracies"]["test"] == best["test_accuracy"]
    few = {name: graph[name] for name in ("x", "edge_index")} | {"y": np.full(len(graph["y"]), 20)}
    np.savez("few.npz", **few)
    answers = json.loads(invoke("predict", "run", "--dataset", "few.npz", "--json").stdout)
    share = answers["classes"].count("20") / len(graph["y"])
    whole = [answers["accuracies"][split] for split in ("train", "validation", "test")]
    assert np.dot(whole, [0.6, 0.2, 0.2]) == pytest.approx(share)
