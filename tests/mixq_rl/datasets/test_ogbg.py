from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

import mixq_rl
from tests.mixq_rl.datasets.fake_ogb import FakeDataset, install


class FakeGraphPropPredDataset(FakeDataset):
    """What ogb's class shows of itself, over six molecules of two atoms."""

    def made(self) -> list[Data]:
        made, labels = [], 2 if self.wanted == "ogbg-molclintox" else 1
        for number in range(6):
            y = torch.tensor([[float(number % 2), torch.nan if number == 3 else 1.0]])[:, :labels]
            atoms = torch.tensor([[number, 0, 1], [0, 2, 1]])
            made.append(Data(x=atoms, edge_index=torch.tensor([[0, 1], [1, 0]]), y=y, num_nodes=2))
        return made

    def get_idx_split(self) -> dict[str, torch.Tensor]:
        return {"train": torch.tensor([0, 5, 3]), "valid": torch.tensor([1, 2]), "test": torch.tensor([4])}


@pytest.fixture
def _ogb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, "graphproppred", "PygGraphPropPredDataset", FakeGraphPropPredDataset)
    for name in ("ogbg_molclintox", "ogbg_molhiv"):
        raw = tmp_path / "ogb" / name / "raw"
        raw.mkdir(parents=True)
        (raw / "edge.csv.gz").touch()
        (raw.parent / "RELEASE_v1.txt").touch()


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
