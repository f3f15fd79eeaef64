import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.datasets import Planetoid

import mixq_rl
from mixq_rl.datasets.pyg import side_by_side
from mixq_rl.errors import DataNotFoundError


def test_missing_data_folder_says_what_was_looked_for_and_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(
        DataNotFoundError, match=r"'.*nowhere' does not exist: looked .*planetoid.*Cora.*raw.*MIXQ_RL_DATA"
    ):
        mixq_rl.load_task("Cora", tmp_path / "nowhere")


def test_damaged_files_are_answered_with_what_to_do(tmp_path: Path) -> None:
    raw = tmp_path / "planetoid" / "Cora" / "raw"
    raw.mkdir(parents=True)
    for name in ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index"):
        (raw / f"ind.cora.{name}").write_text("version https://git-lfs")
    with pytest.raises(DataNotFoundError, match=r"the files of Cora in '.*raw' are damaged .*: delete that folder"):
        mixq_rl.load_task("Cora", tmp_path)


def no_network(dataset: Planetoid) -> None:
    raise OSError("no network\nat all")


def half_a_download(dataset: Planetoid) -> None:
    (Path(dataset.raw_dir) / "folder").mkdir()
    (Path(dataset.raw_dir) / "folder" / "file").touch()
    (Path(dataset.raw_dir) / "ind.cora.x").touch()
    raise TimeoutError


def given_up(dataset: Planetoid) -> None:
    Path(dataset.raw_dir).rmdir()
    raise SystemExit(-1)


@pytest.mark.parametrize(
    ("download", "reason"), [(no_network, "no network"), (half_a_download, "TimeoutError"), (given_up, "-1")]
)
def test_failed_download_says_what_to_do_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, download: Any, reason: str
) -> None:
    monkeypatch.setattr(Planetoid, "download", download)
    with pytest.raises(
        DataNotFoundError, match=rf"no files of Cora in .* failed \({reason}\): copy the files ind\.cora\.x, .* there"
    ):
        mixq_rl.load_task("Cora", tmp_path)
    assert not list(tmp_path.iterdir())


def test_failed_download_keeps_the_files_that_were_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "planetoid" / "Cora" / "raw"
    raw.mkdir(parents=True)
    (raw / "ind.cora.tx").touch()
    monkeypatch.setattr(Planetoid, "download", half_a_download)
    with pytest.raises(DataNotFoundError):
        mixq_rl.load_task("Cora", tmp_path)
    assert [path.name for path in raw.iterdir()] == ["ind.cora.tx"]


def test_interrupted_download_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(dataset: Planetoid) -> None:
        (Path(dataset.raw_dir) / "ind.cora.x").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(Planetoid, "download", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mixq_rl.load_task("Cora", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_root_that_cannot_be_written_is_read(tmp_path: Path, data_root: Path) -> None:
    shutil.copytree(data_root / "planetoid" / "Cora", tmp_path / "planetoid" / "Cora")
    folders = [tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    assert mixq_rl.load_task("Cora", tmp_path).num_nodes == 2708
    for folder in folders:
        folder.chmod(0o700)


def test_side_by_side_numbers_nodes_through() -> None:
    one = Data(x=torch.ones(2), pos=torch.zeros(2, 2), edge_index=torch.tensor([[0], [1]]), y=torch.tensor([1]))
    other = Data(x=torch.zeros(3), pos=torch.ones(3, 2), edge_index=torch.tensor([[2], [0]]), y=torch.tensor(0))
    graphs = side_by_side([one, other])
    assert graphs.x is not None
    assert graphs.x.tolist() == [[1, 0, 0]] * 2 + [[0, 1, 1]] * 3
    assert graphs.edge_index.tolist() == [[0, 4], [1, 2]]
    assert graphs.y.tolist() == [1, 0]
    assert graphs.batch.tolist() == [0, 0, 1, 1, 1]
    assert side_by_side([Data(edge_index=one.edge_index, y=one.y, num_nodes=2)]).x is None
