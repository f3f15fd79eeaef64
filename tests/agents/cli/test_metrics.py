"""Runs measured by another metric than accuracy, and tasks of several labels, from ``train`` to ``predict``."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import mixq_rl
from mixq_rl.agents import RunResult
from tests.agents.cli.invoking import SMALL, Invoke

SEVERAL = ("--dataset", "labels.npz", *SMALL[2:])


def save_labels(path: Path, *, graphs: bool = False) -> None:
    """A graph of 200 nodes, or 50 graphs of four, with two labels that the features tell, some of them unknown."""
    draw = np.random.default_rng(0)
    count = 50 if graphs else 200
    y = (draw.random((count, 2)) < 0.4).astype(np.float32)
    of_nodes = y.repeat(4, axis=0) if graphs else y
    x = np.concatenate([of_nodes, 1 - of_nodes], axis=1) + draw.normal(scale=0.5, size=(200, 4))
    first = draw.integers(200, size=400)
    edges = np.stack([first, first // 4 * 4 + draw.integers(4, size=400)])
    y[draw.random(y.shape) < 0.1] = np.nan
    more = {"batch": np.arange(200) // 4} if graphs else {}
    np.savez(path, x=x.astype(np.float32), edge_index=edges, y=y, **more)


def test_several_labels_from_train_to_predict(invoke: Invoke) -> None:
    save_labels(Path("labels.npz"))
    ended = invoke("train", *SEVERAL, "--run-dir", "run")
    assert ended.code == 0, ended.stderr
    assert "validation and test ROC-AUC in %" in ended.stdout
    result = RunResult.load(Path("run/result.json"))
    assert (result.metric.name, result.majority) == ("roc-auc", 0.5)
    assert result.finalists[0].test_accuracy > 0.8
    page = Path("run/report.html").read_text()
    assert "ROC-AUC against saving" in page
    assert "has a ROC-AUC of" in page
    assert "accuracy" not in page.split("<script>")[0].replace("--metric", "")
    with Path("run/allocations.csv").open() as file:
        assert {row["metric"] for row in csv.DictReader(file)} == {"roc-auc"}
    assert invoke("export", "run", "--output", "model", "--quiet").code == 0
    assert json.loads(Path("model/origin.json").read_text())["metric"] == "roc-auc"
    predicted = json.loads(invoke("predict", "model", "--dataset", "labels.npz", "--json").stdout)
    assert predicted["metric"] == "roc-auc"
    assert predicted["accuracies"]["test"] == pytest.approx(result.best.test_accuracy, abs=1e-9)
    task, model = mixq_rl.load_task("labels.npz"), mixq_rl.IntegerModel.load("model")
    assert model.multi_label
    shares = model(task.x, task.edge_index).double().sigmoid()
    assert torch.allclose(torch.tensor(predicted["probabilities"], dtype=torch.float64), shares)
    assert predicted["labels"] == [row.nonzero()[:, 0].tolist() for row in shares > 0.5]
    assert invoke("predict", "run", "--dataset", "labels.npz", "--output", "labels.csv", "--quiet").code == 0
    with Path("labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [[int(label) for label in row["labels"].split()] for row in rows] == predicted["labels"]
    assert float(rows[3]["probability 1"]) == pytest.approx(float(shares[3, 1]), abs=1e-6)
    (listed,) = json.loads(invoke("runs", "run", "--json").stdout)["runs"]
    assert listed["metric"] == "roc-auc"
    assert "ROC-AUC" in invoke("runs", "run").stdout
    compared = invoke("compare", "run", "--json")
    assert json.loads(compared.stdout)["searches"][0]["metric"] == "roc-auc"


def test_graphs_of_several_labels_are_measured_as_asked(invoke: Invoke) -> None:
    save_labels(Path("labels.npz"), graphs=True)
    ended = invoke("train", *SEVERAL, "--metric", "macro-f1", "--max-drop", "2", "--run-dir", "run")
    assert ended.code == 0, ended.stderr
    assert "validation and test macro F1 in %" in ended.stdout
    assert json.loads(Path("run/config.json").read_text())["config"]["metric"] == "macro-f1"
    predicted = json.loads(invoke("predict", "run", "--dataset", "labels.npz", "--json").stdout)
    assert predicted["metric"] == "macro-f1"
    result = RunResult.load(Path("run/result.json"))
    assert predicted["accuracies"]["test"] == pytest.approx(result.best.test_accuracy, abs=1e-9)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("accuracy", "metric accuracy does not measure predictions of several labels: choose one of macro-f1, "),
        ("precision", "unknown metric 'precision': known are accuracy, "),
    ],
)
def test_unfit_metric_is_refused_in_one_line(invoke: Invoke, metric: str, message: str) -> None:
    save_labels(Path("labels.npz"))
    ended = invoke("train", *SEVERAL, "--metric", metric)
    assert (ended.code, ended.stdout) == (2, "")
    assert message in ended.stderr.replace("\n", " ")
    assert len(ended.stderr.strip().splitlines()) == 1


def test_classes_may_be_measured_by_balanced_accuracy(invoke: Invoke) -> None:
    ended = invoke("search", "--algorithm", "uniform", *SMALL[:2], *SMALL[4:], "--metric", "balanced-accuracy")
    assert ended.code == 0, ended.stderr
    assert "by balanced accuracy" in " ".join(ended.stdout.split())
