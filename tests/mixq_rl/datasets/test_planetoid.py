import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

import mixq_rl
from mixq_rl.errors import DataNotFoundError
from tests.hostile.honest_files import write_planetoid


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


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch trap-was-sprung",)


@pytest.mark.parametrize("part", ["x", "ally", "graph"])
def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_planetoid(tmp_path)
    assert mixq_rl.load_task("CiteSeer", tmp_path).num_nodes == 520
    (tmp_path / f"planetoid/CiteSeer/raw/ind.citeseer.{part}").write_bytes(pickle.dumps({0: [Trap()]}))
    with pytest.raises(DataNotFoundError, match=rf"are damaged \(ind\.citeseer\.{part}: "):
        mixq_rl.load_task("CiteSeer", tmp_path)
    assert not Path("trap-was-sprung").exists()
