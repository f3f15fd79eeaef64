from pathlib import Path

import numpy as np
import pytest
import torch

from mixq_rl.datasets import load_questions, load_task
from mixq_rl.errors import InvalidGraphError
from tests.agents.test_cli import save_graph
from tests.conftest import make_classified_graphs


def test_a_dataset_brings_its_answers(tmp_path: Path) -> None:
    path = str(save_graph(tmp_path / "graph.npz"))
    questions, task = load_questions(path), load_task(path)
    assert questions.noun == "node"
    assert questions.accuracies(task.y) == {"train": 1.0, "validation": 1.0, "test": 1.0}
    right = torch.randn(task.num_nodes, task.num_classes, generator=torch.Generator().manual_seed(0))
    assert questions.accuracies(right.argmax(dim=1))["test"] == task.accuracy(right, "test")


def test_a_file_may_lack_answers(tmp_path: Path) -> None:
    x, edge_index = np.eye(3), np.array([[0, 1], [1, 2]], dtype=np.int32)
    np.savez(tmp_path / "new.npz", x=x, edge_index=edge_index, edge_weight=np.array([1.0, 0.5]))
    questions = load_questions(str(tmp_path / "new.npz"))
    assert questions.y is None
    assert questions.accuracies(torch.zeros(3, dtype=torch.int64)) == {}
    assert questions.x.dtype == torch.float32
    assert questions.edge_index.dtype == torch.int64
    assert questions.edge_weight is not None
    assert questions.edge_weight.tolist() == [1.0, 0.5]


def test_graphs_are_asked_about_as_a_whole(tmp_path: Path) -> None:
    task = make_classified_graphs()
    assert task.batch is not None
    arrays = {"x": task.x, "edge_index": task.edge_index, "batch": task.batch}
    np.savez(tmp_path / "graphs.npz", **{name: entry.numpy() for name, entry in arrays.items()})
    questions = load_questions(str(tmp_path / "graphs.npz"))
    assert questions.noun == "graph"
    assert questions.batch is not None
    assert torch.equal(questions.batch, task.batch)


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "new.npz", x=np.eye(3))
    with pytest.raises(InvalidGraphError, match="edge_index missing; it holds x"):
        load_questions(str(tmp_path / "new.npz"))
