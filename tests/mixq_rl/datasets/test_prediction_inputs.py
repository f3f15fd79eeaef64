from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from mixq_rl.datasets import load_prediction_inputs, load_task
from mixq_rl.datasets.metrics import ACCURACY, metrics
from mixq_rl.errors import InvalidGraphError
from tests.agents.cli.invoking import save_graph
from tests.conftest import make_classified_graphs


def certain(classes: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(classes, 10).double()


def test_a_dataset_brings_its_answers(tmp_path: Path) -> None:
    path = str(save_graph(tmp_path / "graph.npz"))
    inputs, task = load_prediction_inputs(path), load_task(path)
    assert inputs.noun == "node"
    assert inputs.scores(certain(task.y), ACCURACY) == {"train": 1.0, "validation": 1.0, "test": 1.0}
    right = torch.randn(task.num_nodes, task.num_classes, generator=torch.Generator().manual_seed(0))
    assert inputs.scores(right, ACCURACY)["test"] == task.accuracy(right, "test")


def test_a_file_may_lack_answers(tmp_path: Path) -> None:
    x, edge_index = np.eye(3), np.array([[0, 1], [1, 2]], dtype=np.int32)
    np.savez(tmp_path / "new.npz", x=x, edge_index=edge_index, edge_weight=np.array([1.0, 0.5]))
    inputs = load_prediction_inputs(str(tmp_path / "new.npz"))
    assert inputs.y is None
    assert inputs.scores(torch.zeros(3, 2), ACCURACY) == {}
    assert inputs.x.dtype == torch.float32
    assert inputs.edge_index.dtype == torch.int64
    assert inputs.edge_weight is not None
    assert inputs.edge_weight.tolist() == [1.0, 0.5]


def test_graphs_are_asked_about_as_a_whole(tmp_path: Path) -> None:
    task = make_classified_graphs()
    assert task.batch is not None
    arrays = {"x": task.x, "edge_index": task.edge_index, "batch": task.batch}
    np.savez(tmp_path / "graphs.npz", **{name: entry.numpy() for name, entry in arrays.items()})
    inputs = load_prediction_inputs(str(tmp_path / "graphs.npz"))
    assert inputs.noun == "graph"
    assert inputs.batch is not None
    assert torch.equal(inputs.batch, task.batch)


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "new.npz", x=np.eye(3))
    with pytest.raises(InvalidGraphError, match="edge_index missing; it holds x"):
        load_prediction_inputs(str(tmp_path / "new.npz"))


GRAPH = {"x": np.eye(8, dtype=np.float32), "edge_index": np.array([[0, 1, 2], [1, 2, 3]])}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"edge_index": GRAPH["edge_index"] + 0.7}, "edge_index must be integers"),
        ({"edge_index": GRAPH["edge_index"] + 5}, "names node 8"),
        ({"batch": np.arange(8) / 2}, "batch must be int64"),
        ({"batch": np.arange(8) * 2}, "graph 1 has no node"),
        ({"batch": np.arange(8)}, "joins node 0 of graph 0 and node 1 of graph 1"),
        ({"batch": np.full(8, 10**13)}, "batch starts with graph 10000000000000"),
        ({"x": np.full((8, 2), np.nan)}, r"new\.npz: .*NaN"),
        ({"y": np.zeros(3, dtype=np.int64)}, "each needs one label"),
        ({"y": np.full(8, 0.5)}, "regression is not supported"),
        ({"y": np.zeros(8, dtype=np.int64), "test_mask": np.ones(3, dtype=bool)}, "one entry for each of 8 nodes"),
    ],
)
def test_a_file_is_refused_with_and_without_answers(
    changed: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "new.npz", **{**GRAPH, **changed})
    with pytest.raises(InvalidGraphError, match=message):
        load_prediction_inputs(str(tmp_path / "new.npz"))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"y": np.array([0, 1, -1, -1, -1, -1, -1, -1])}, {"all": 0.5}),
        ({"y": np.zeros(8, dtype=np.int32), "test_mask": np.arange(8) > 3}, {"test": 1.0}),
        ({"y": np.arange(8) % 2, "test_mask": np.arange(8) == 0, "val_mask": np.zeros(8)}, {"test": 1.0}),
    ],
)
def test_few_answers_do(known: dict[str, np.ndarray], expected: dict[str, float], tmp_path: Path) -> None:
    np.savez(tmp_path / "new.npz", **GRAPH, **known)
    inputs = load_prediction_inputs(str(tmp_path / "new.npz"))
    assert inputs.scores(certain(torch.zeros(8, dtype=torch.int64)), ACCURACY) == expected


def test_too_few_nodes_to_be_split_are_one_split(tmp_path: Path) -> None:
    np.savez(tmp_path / "new.npz", x=np.eye(3), edge_index=GRAPH["edge_index"][:, :2], y=np.zeros(3, dtype=np.int64))
    inputs = load_prediction_inputs(str(tmp_path / "new.npz"))
    assert inputs.scores(certain(torch.tensor([0, 0, 1])), ACCURACY) == {"all": pytest.approx(2 / 3)}


def test_a_file_may_hold_more_than_a_graph(tmp_path: Path) -> None:
    data = Data(
        x=torch.eye(8),
        edge_index=torch.tensor([[0, 1], [1, 2]]),
        y=torch.arange(8) % 2,
        num_nodes=8,
        name="mine",
        club=["a"] * 8,
    )
    torch.save({**data.to_dict(), "edge_weight": None}, tmp_path / "graph.pt")
    assert load_task(str(tmp_path / "graph.pt")).num_nodes == 8
    assert load_prediction_inputs(str(tmp_path / "graph.pt")).y is not None
    torch.save({**data.to_dict(), "x": data.x.to_sparse()}, tmp_path / "sparse.pt")
    assert torch.equal(load_task(str(tmp_path / "sparse.pt")).x, data.x)


def test_classes_that_the_network_does_not_know_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    y = np.array(["cat", "fox", "dog", "elk", "cat"])
    np.savez(tmp_path / "new.npz", x=np.eye(5), edge_index=np.array([[0, 1], [1, 2]]), y=y)
    inputs = load_prediction_inputs(str(tmp_path / "new.npz"))
    assert inputs.renamed(("cat", "dog", "elk", "fox")).scores(torch.zeros(5, 4), ACCURACY)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    renamed = inputs.renamed(("cat", "dog"))
    assert renamed.y is not None
    assert renamed.y[[0, 2, 4]].tolist() == [0, 1, 0]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning == (
        "new.npz: the network does not know the classes elk, fox, whose nodes count as wrong: its classes are cat, dog"
    )


def test_several_labels_are_measured_where_they_are_known(tmp_path: Path) -> None:
    y = np.array([[1, 0], [0, 1], [1, 1], [0, np.nan], [np.nan, np.nan]])
    np.savez(tmp_path / "new.npz", x=np.eye(5), edge_index=np.array([[0, 1], [1, 2]]), y=y, test_mask=np.ones(5, bool))
    inputs = load_prediction_inputs(str(tmp_path / "new.npz"))
    assert inputs.masks["test"].tolist() == [True, True, True, True, False]
    logits = torch.tensor([[1.0, -1], [1, 1], [1, -1], [-1, 1], [1, 1]])
    assert inputs.scores(logits, metrics["micro-f1"]) == {"test": pytest.approx(6 / 8)}
    with pytest.raises(InvalidGraphError, match=r"new.npz has labels of shape \[5, 2\].*leave y out"):
        inputs.scores(logits, ACCURACY)
    with pytest.raises(InvalidGraphError, match=r"logits of 3 columns"):
        inputs.scores(torch.zeros(5, 3), metrics["roc-auc"])
