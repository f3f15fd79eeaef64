import shutil
from pathlib import Path

import pytest
import torch

import mixq_rl
from mixq_rl.errors import DataNotFoundError


@pytest.mark.parametrize(("name", "shape", "classes"), [("Cora", (2708, 1433), 7), ("CiteSeer", (3327, 3703), 6)])
def test_loads_the_public_split_and_leaves_the_root_as_it_is(
    data_root: Path, name: str, shape: tuple[int, int], classes: int
) -> None:
    before = sorted(data_root.rglob("*"))
    task = mixq_rl.load_task(name, data_root)
    assert sorted(data_root.rglob("*")) == before
    assert tuple(task.x.shape) == shape
    assert task.num_classes == classes
    assert [int(task.masks[split].sum()) for split in ("train", "validation", "test")] == [20 * classes, 500, 1000]
    rows = task.x.sum(dim=1)
    torch.testing.assert_close(rows[rows > 0], torch.ones_like(rows[rows > 0]))


def test_missing_data_folder_says_what_was_looked_for_and_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(
        DataNotFoundError, match=r"'.*nowhere' does not exist: looked .*planetoid.*Cora.*raw.*MIXQ_RL_DATA"
    ):
        mixq_rl.load_task("Cora", tmp_path / "nowhere")


def test_damaged_files_are_answered_with_what_to_do(tmp_path: Path, data_root: Path) -> None:
    shutil.copytree(data_root / "planetoid" / "Cora" / "raw", tmp_path / "planetoid" / "Cora" / "raw")
    (tmp_path / "planetoid" / "Cora" / "raw" / "ind.cora.x").write_text("version https://git-lfs")
    with pytest.raises(DataNotFoundError, match=r"the files of Cora in '.*raw' are damaged .*: delete that folder"):
        mixq_rl.load_task("Cora", tmp_path)


def test_failed_download_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_geometric.datasets import Planetoid

    def no_network(dataset: Planetoid) -> None:
        raise OSError("no network")

    monkeypatch.setattr(Planetoid, "download", no_network)
    with pytest.raises(
        DataNotFoundError, match=r"downloading them failed \(no network\): copy the files ind\.cora\.\*"
    ):
        mixq_rl.load_task("Cora", tmp_path)
