import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import mixq_rl
from mixq_rl.errors import InvalidGraphError


class SparseStorage:
    """As torch_sparse saves it."""

    def __init__(self, **parts: Any) -> None:
        self.__dict__.update(parts)


class SparseTensor:
    def __init__(self, **parts: Any) -> None:
        self.storage = SparseStorage(**parts)


@pytest.fixture(autouse=True)
def torch_sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes in place of those of torch_sparse, while a file is written."""
    monkeypatch.setitem(sys.modules, "torch_sparse", ModuleType("torch_sparse"))
    for name, kind in (("tensor", SparseTensor), ("storage", SparseStorage)):
        module = ModuleType(f"torch_sparse.{name}")
        setattr(module, kind.__name__, kind)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(kind, "__module__", module.__name__)


def load(path: Path, **parts: Any) -> mixq_rl.GraphTask:
    whole = {"_row": None, "_rowptr": None, "_col": None, "_value": None, "_sparse_sizes": (9, 9)} | parts
    graph = {"x": torch.randn(9, 2), "y": torch.arange(9) % 2, "adj_t": SparseTensor(**whole)}
    torch.save(graph, path / "g.pt")
    return mixq_rl.load_task(str(path / "g.pt"))


@pytest.mark.parametrize(
    "rows", [{"_row": torch.tensor([0, 2, 2])}, {"_rowptr": torch.tensor([0, 1, 1, 3, 3, 3, 3, 3, 3, 3])}]
)
def test_sparse_tensors_of_torch_sparse_are_edges(tmp_path: Path, rows: dict[str, Any]) -> None:
    task = load(tmp_path, **rows, _col=torch.tensor([1, 3, 4]))
    assert task.edge_index.tolist() == [[1, 3, 4], [0, 2, 2]]
    assert task.edge_weight is None
    weighted = load(tmp_path, **rows, _col=torch.tensor([1, 3, 4]), _value=torch.tensor([1.0, 2.0, 3.0]))
    assert weighted.edge_weight is not None


@pytest.mark.parametrize(
    "parts",
    [
        {"_row": torch.tensor([0, 2, 9]), "_col": torch.tensor([1, 3, 4])},
        {"_row": torch.tensor([0, 2]), "_col": torch.tensor([1, 3, 4])},
        {"_row": torch.tensor([0.0, 2.0, 1.0]), "_col": torch.tensor([1, 3, 4])},
        {"_rowptr": torch.tensor([0, 3, 1, 3, 3, 3, 3, 3, 3, 3]), "_col": torch.tensor([1, 3, 4])},
        {"_rowptr": torch.tensor([0, 2**40]), "_col": torch.tensor([1, 3, 4])},
        {"_col": torch.tensor([1, 3, 4])},
        {"_row": "text", "_col": torch.tensor([1])},
        {"_row": torch.tensor([0]), "_col": torch.tensor([1]), "_sparse_sizes": (9, 2**62)},
        {"_row": torch.tensor([0]), "_col": torch.tensor([1]), "_value": torch.ones(5)},
    ],
)
def test_sparse_tensors_that_contradict_themselves_are_refused(tmp_path: Path, parts: dict[str, Any]) -> None:
    with pytest.raises(InvalidGraphError, match=r"g\.pt cannot be read as a graph of plain arrays"):
        load(tmp_path, **parts)
