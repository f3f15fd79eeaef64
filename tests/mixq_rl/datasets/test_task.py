import pytest
import torch

from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InvalidGraphError
from tests.conftest import make_task


def test_accuracies() -> None:
    y = torch.tensor([0, 1, 1, 0, 1, 0])
    masks = {"train": torch.arange(6) < 2, "validation": torch.arange(6) >= 2}
    task = GraphTask("tiny", torch.ones(6, 1), torch.zeros(2, 0, dtype=torch.int64), y, masks)
    logits = torch.tensor([[0.0, 1.0]] * 4 + [[1.0, 0.0]] * 2)
    assert task.accuracy(logits, "validation") == 0.5
    assert task.accuracy(logits, "train") == 0.5
    assert task.majority_accuracy("validation") == 0.5


def test_only_float32_features_are_taken() -> None:
    task = make_task()
    with pytest.raises(InvalidGraphError, match=r"x must be float32, not torch\.float64"):
        GraphTask("double", task.x.double(), task.edge_index, task.y, task.masks)
