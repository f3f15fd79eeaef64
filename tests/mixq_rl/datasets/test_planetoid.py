from pathlib import Path

import pytest
import torch

import mixq_rl


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
