import importlib.util
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

import mixq_rl
from mixq_rl.errors import DataNotFoundError
from tests.mixq_rl.datasets.fake_ogb import FakeDataset, install
from tests.mixq_rl.datasets.ogb_files import NODES, write_ogbn


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
    write_ogbn(tmp_path, "ogbn-arxiv")
    task = mixq_rl.load_task("ogbn-arxiv", tmp_path)
    assert task.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert task.y.tolist() == [0, 1] * 3
    places = [task.masks[split].nonzero()[:, 0].tolist() for split in ("train", "validation", "test")]
    assert places == [[0, 5], [1, 2], [3, 4]]
    assert not list(tmp_path.rglob("processed"))


@pytest.mark.usefixtures("_ogb")
def test_proteins_have_the_means_of_their_edges_as_features(tmp_path: Path) -> None:
    write_ogbn(tmp_path, "ogbn-proteins")
    task = mixq_rl.load_task("ogbn-proteins", tmp_path)
    assert task.x.tolist() == [[1.0], [2], [3], [0], [0], [0]]
    assert (task.multi_label, task.num_classes, task.metric) == (True, 2, "roc-auc")
    assert task.y.tolist() == [[0.0, 1], [1, 0]] * 3


@pytest.mark.usefixtures("_ogb")
def test_failed_download_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"no files of ogbn-products in .*ogbn_products"):
        mixq_rl.load_task("ogbn-products", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_ogb")
def test_files_of_no_version_are_not_given_to_ogb_which_would_ask_to_delete_them(tmp_path: Path) -> None:
    raw = write_ogbn(tmp_path, "ogbn-arxiv")
    (raw.parent / "RELEASE_v1.txt").unlink()
    with pytest.raises(DataNotFoundError, match=r"ogbn_arxiv' has no file RELEASE_v1\.txt, by which ogb knows"):
        mixq_rl.load_task("ogbn-arxiv", tmp_path)


@pytest.mark.parametrize("name", ["ogbn-arxiv", "ogbn-products"])
def test_ogb_itself_reads_the_layout_of_its_archives(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ogb")
    raw = write_ogbn(tmp_path, name)
    before = sorted(tmp_path.rglob("*"))
    task = mixq_rl.load_task(name, tmp_path)
    assert capsys.readouterr() == ("", "")
    assert (task.num_nodes, task.num_features, task.num_classes, task.metric) == (NODES, 2, 3, "accuracy")
    forward = {(node, node + 1) for node in range(NODES - 1)}
    assert {tuple(edge) for edge in task.edge_index.T.tolist()} == forward | {(b, a) for a, b in forward}
    assert task.edge_index.shape[1] == 2 * len(forward)
    assert [mask.nonzero()[:, 0].tolist() for mask in task.masks.values()] == [
        [0, 2, 4, 6, 8, 10],
        [1, 5, 9],
        [3, 7, 11],
    ]
    assert sorted(tmp_path.rglob("*")) == before
    (raw / "edge.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(DataNotFoundError, match=f"the files of {name} in .* are damaged"):
        mixq_rl.load_task(name, tmp_path)


def test_ogb_itself_reads_proteins(tmp_path: Path) -> None:
    pytest.importorskip("ogb")
    write_ogbn(tmp_path, "ogbn-proteins")
    task = mixq_rl.load_task("ogbn-proteins", tmp_path)
    assert (task.num_nodes, task.num_features, task.num_classes, task.metric) == (NODES, 8, 112, "roc-auc")
    assert task.x[0].tolist() == pytest.approx([column / 10 for column in range(8)])
    assert task.x[1].tolist() == pytest.approx([(column + 4) / 10 for column in range(8)])


@pytest.mark.parametrize("file", ["split_dict.pt", "more/split_dict.pt"])
def test_pickles_beside_the_split_are_refused(tmp_path: Path, file: str) -> None:
    pytest.importorskip("ogb")
    folder = write_ogbn(tmp_path, "ogbn-arxiv").parent
    pickle = folder / "split" / "time" / file
    pickle.parent.mkdir(exist_ok=True)
    pickle.touch()
    for where in (folder, folder.with_name("ogbn_arxiv_pyg")):  # ogb prefers the folder with this suffix
        folder.rename(where)
        folder = where
        with pytest.raises(DataNotFoundError, match=r"split_dict\.pt is a pickle, which is not read"):
            mixq_rl.load_task("ogbn-arxiv", tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("ogb") is not None, reason="ogb is installed")
def test_without_ogb_it_says_what_to_install() -> None:
    with pytest.raises(
        DataNotFoundError, match=r"ogbn-arxiv is read by the package ogb, which cannot be imported .*: pip install ogb"
    ):
        mixq_rl.load_task("ogbn-arxiv")
