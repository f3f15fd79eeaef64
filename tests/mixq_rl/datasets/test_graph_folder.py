"""Graphs in folders: the same tasks as in other files, and refused where they are no graphs."""

from pathlib import Path

import numpy as np
import pytest
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask, Split, load_prediction_inputs
from mixq_rl.datasets.catalogue import reads_root
from mixq_rl.datasets.graph_folder import GraphFolder, save_graph
from mixq_rl.datasets.prediction_inputs import open_stored_inputs
from mixq_rl.errors import DataNotFoundError, InputError, InvalidGraphError
from tests.conftest import make_task


def saved(path: Path, task: GraphTask, **other: torch.Tensor) -> str:
    masks = {f"{name}_mask": task.masks[split] for split, name in MASKS.items()}
    save_graph(path, task.x, task.edge_index, y=task.y, **masks, **other)
    return str(path)


MASKS: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}


def test_it_is_loaded_as_any_file(tmp_path: Path) -> None:
    task = make_task()
    weight = torch.rand(task.edge_index.shape[1])
    path = saved(tmp_path / "graph.csr", task, edge_weight=weight)
    found = mixq_rl.load_task(path)
    assert not reads_root(path)
    assert (found.name, found.notes) == ("graph.csr", ())
    assert torch.equal(found.x, task.x)
    assert torch.equal(found.y, task.y)
    assert all(torch.equal(found.masks[split], task.masks[split]) for split in task.masks)
    order = np.lexsort((task.edge_index[0].numpy(), task.edge_index[1].numpy()))
    assert torch.equal(found.edge_index, task.edge_index[:, order])
    assert found.edge_weight is not None
    assert torch.equal(found.edge_weight, weight[order])
    inputs = load_prediction_inputs(path)
    assert torch.equal(inputs.edge_index, found.edge_index)


def test_stored_inputs_know_labels_and_splits(tmp_path: Path) -> None:
    task = make_task()
    path = saved(tmp_path / "graph.csr", task)
    stored, loaded = open_stored_inputs(path), load_prediction_inputs(path)
    assert stored.y is not None
    assert loaded.y is not None
    assert torch.equal(stored.y, loaded.y)
    assert {split: mask.tolist() for split, mask in stored.masks.items()} == {
        split: mask.tolist() for split, mask in loaded.masks.items()
    }
    assert (stored.noun, stored.weighted, stored.edges.num_edges) == ("node", False, task.edge_index.shape[1])
    assert torch.equal(stored.x[3:8], task.x[3:8])


def test_without_labels_nothing_is_measured(tmp_path: Path) -> None:
    task = make_task()
    save_graph(tmp_path / "graph.csr", task.x, task.edge_index)
    assert open_stored_inputs(tmp_path / "graph.csr").measured is None
    with pytest.raises(InvalidGraphError, match=r"graph\.csr: y missing; it holds x, edge_index"):
        mixq_rl.load_task(str(tmp_path / "graph.csr"))


def test_other_files_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "graph.csr", make_task())
    np.save(tmp_path / "graph.csr" / "ids.npy", np.zeros(3))
    assert mixq_rl.load_task(path).notes == ("not used: ids",)


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("x", np.zeros((149, 40), np.float32), r"x must be floating point of shape \[150, features\]"),
        ("x", np.zeros((150, 40), np.int64), "x must be floating point"),
        ("rowptr", np.zeros(151, np.int32), "rowptr must be torch.int64"),
        ("rowptr", np.arange(151), "rowptr goes from 1000000 to 1000150: it must go from 0"),
        ("col", np.full(3, 5, np.int32), "it must go from 0 to the number of edges, 3"),
        ("y", np.zeros(150, np.longdouble), "write real numbers"),
        ("x", np.zeros((150, 40), ">f4"), r"other byte order.*astype\('float32'\)"),
        ("col", None, r"col\.npy missing"),
        ("y", np.zeros(4, np.int64), "y"),
        ("edge_weight", np.ones(3, np.float32), "one for each edge"),
    ],
)
def test_inconsistent_folders_are_refused(tmp_path: Path, name: str, array: np.ndarray | None, reason: str) -> None:
    path = saved(tmp_path / "graph.csr", make_task())
    file = tmp_path / "graph.csr" / f"{name}.npy"
    file.unlink(missing_ok=True)
    if array is not None:
        if name == "rowptr" and array.dtype == np.int64:
            array = array + 10**6
        np.save(file, array)
    with pytest.raises(InvalidGraphError, match=rf"graph\.csr: .*{reason}"):
        mixq_rl.load_task(path)


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="does not exist"):
        GraphFolder.open(tmp_path / "no.csr")
    (tmp_path / "file.csr").write_text("")
    with pytest.raises(DataNotFoundError, match="as a folder"):
        mixq_rl.load_task(str(tmp_path / "file.csr"))


def test_a_graph_larger_than_memory_is_not_loaded_but_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task()
    save_graph(tmp_path / "graph.csr", task.x[:, :1], task.edge_index, y=task.y)
    path = str(tmp_path / "graph.csr")
    monkeypatch.setenv("MIXQ_RL_MAX_DATA_BYTES", "1000")
    with pytest.raises(InvalidGraphError, match="MIXQ_RL_MAX_DATA_BYTES"):
        mixq_rl.load_task(path)
    assert open_stored_inputs(path).edges.num_nodes == 150


def test_what_is_saved_is_checked(tmp_path: Path) -> None:
    task = make_task()
    with pytest.raises(InputError, match=r"end in \.csr"):
        save_graph(tmp_path / "graph", task.x, task.edge_index)
    with pytest.raises(InputError, match="unknown labels labels"):
        save_graph(tmp_path / "graph.csr", task.x, task.edge_index, labels=task.y)
    with pytest.raises(InvalidGraphError, match="names node 150"):
        save_graph(tmp_path / "graph.csr", task.x, task.edge_index + 1)
    assert not list(tmp_path.iterdir())
