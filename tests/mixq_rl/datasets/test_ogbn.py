import importlib.util
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

import mixq_rl
from mixq_rl.errors import DataNotFoundError
from tests.mixq_rl.datasets.fake_ogb import FakeDataset, install


class FakeNodePropPredDataset(FakeDataset):
    """What ogb's class shows of itself, over a graph of six nodes."""

    def download(self) -> None:
        raise OSError("no network")

    def made(self) -> list[Data]:
        y = (torch.arange(6) % 2).unsqueeze(1)
        if self.wanted == "ogbn-proteins":
            edge_index, edge_attr = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), torch.tensor([[1.0], [1], [3], [3]])
            return [Data(num_nodes=6, edge_index=edge_index, edge_attr=edge_attr, y=torch.cat([y, 1 - y], dim=1))]
        return [Data(x=torch.ones(6, 2), edge_index=torch.tensor([[0, 1], [1, 2]]), y=y)]

    def get_idx_split(self) -> dict[str, torch.Tensor]:
        return {"train": torch.tensor([0, 5]), "valid": torch.tensor([1, 2]), "test": torch.tensor([3, 4])}


@pytest.fixture
def _ogb(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "nodeproppred", "PygNodePropPredDataset", FakeNodePropPredDataset)


@pytest.mark.usefixtures("_ogb")
def test_takes_its_split_and_makes_edges_mutual(tmp_path: Path) -> None:
    raw = tmp_path / "ogb" / "ogbn_arxiv" / "raw"
    raw.mkdir(parents=True)
    (raw / "edge.csv.gz").touch()
    task = mixq_rl.load_task("ogbn-arxiv", tmp_path)
    assert task.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert task.y.tolist() == [0, 1] * 3
    places = [task.masks[split].nonzero()[:, 0].tolist() for split in ("train", "validation", "test")]
    assert places == [[0, 5], [1, 2], [3, 4]]
    assert not list(tmp_path.rglob("processed"))


@pytest.mark.usefixtures("_ogb")
def test_proteins_have_the_means_of_their_edges_as_features(tmp_path: Path) -> None:
    raw = tmp_path / "ogb" / "ogbn_proteins" / "raw"
    raw.mkdir(parents=True)
    (raw / "edge.csv.gz").touch()
    task = mixq_rl.load_task("ogbn-proteins", tmp_path)
    assert task.x.tolist() == [[1.0], [2], [3], [0], [0], [0]]
    assert (task.multi_label, task.num_classes, task.metric) == (True, 2, "roc-auc")
    assert task.y.tolist() == [[0.0, 1], [1, 0]] * 3


@pytest.mark.usefixtures("_ogb")
def test_failed_download_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"no files of ogbn-products in .*ogbn_products"):
        mixq_rl.load_task("ogbn-products", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(importlib.util.find_spec("ogb") is not None, reason="ogb is installed")
def test_without_ogb_it_says_what_to_install() -> None:
    with pytest.raises(
        DataNotFoundError, match=r"ogbn-arxiv is read by the package ogb, which cannot be imported .*: pip install ogb"
    ):
        mixq_rl.load_task("ogbn-arxiv")
