import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch_geometric.data import Data, InMemoryDataset

import mixq_rl


class FakeGraphPropPredDataset(InMemoryDataset):
    """What ogb's class shows of itself, over six molecules of two atoms."""

    def __init__(self, name: str, root: str) -> None:
        self.labels = 2 if name == "ogbg-molclintox" else 1
        super().__init__(str(Path(root) / name.replace("-", "_")))
        self.data, self.slices = torch.load(self.processed_paths[0])

    @property
    def raw_file_names(self) -> list[str]:
        return ["edge.csv.gz"]

    @property
    def processed_file_names(self) -> str:
        return "geometric_data_processed.pt"

    def process(self) -> None:
        made = []
        for number in range(6):
            y = torch.tensor([[float(number % 2), torch.nan if number == 3 else 1.0]])[:, : self.labels]
            atoms = torch.tensor([[number, 0, 1], [0, 2, 1]])
            made.append(Data(x=atoms, edge_index=torch.tensor([[0, 1], [1, 0]]), y=y, num_nodes=2))
        torch.save(self.collate(made), self.processed_paths[0])

    def get_idx_split(self) -> dict[str, torch.Tensor]:
        return {"train": torch.tensor([0, 5, 3]), "valid": torch.tensor([1, 2]), "test": torch.tensor([4])}


@pytest.fixture
def _ogb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = ModuleType("ogb.graphproppred")
    module.PygGraphPropPredDataset = FakeGraphPropPredDataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ogb", ModuleType("ogb"))
    monkeypatch.setitem(sys.modules, "ogb.graphproppred", module)
    for name in ("ogbg_molclintox", "ogbg_molhiv"):
        raw = tmp_path / "ogb" / name / "raw"
        raw.mkdir(parents=True)
        (raw / "edge.csv.gz").touch()


@pytest.mark.usefixtures("_ogb")
def test_several_labels_of_molecules_may_be_unknown(tmp_path: Path) -> None:
    task = mixq_rl.load_task("ogbg-molclintox", tmp_path)
    assert (task.kind, task.multi_label, task.num_classes, task.metric) == ("graph", True, 2, "roc-auc")
    assert task.y[:, 0].tolist() == [0, 1] * 3
    assert task.y[:, 1].isnan().nonzero()[:, 0].tolist() == [3]
    assert [int(mask.sum()) for mask in task.masks.values()] == [3, 2, 1]


@pytest.mark.usefixtures("_ogb")
def test_one_label_is_a_class_and_categories_are_one_hot(tmp_path: Path) -> None:
    task = mixq_rl.load_task("ogbg-molhiv", tmp_path)
    assert (task.multi_label, task.num_classes, task.metric) == (False, 2, "roc-auc")
    assert task.y.tolist() == [0, 1] * 3
    assert task.num_features == 6 + 3 + 2
    assert task.x.sum(dim=1).tolist() == [3.0] * 12
    assert task.x[8].nonzero()[:, 0].tolist() == [4, 6, 10]
    assert mixq_rl.load_task("ogbg-molhiv", tmp_path, metric="balanced-accuracy").metric == "balanced-accuracy"
