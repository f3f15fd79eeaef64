import contextlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mixq_rl
from mixq_rl.errors import DataNotFoundError, InputError, InvalidGraphError

RNG = np.random.default_rng(0)


def arrays(**changes: Any) -> dict[str, Any]:
    graph: dict[str, Any] = {
        "x": RNG.random((10, 4)).astype(np.float32),
        "edge_index": np.array([[0, 1, 2], [1, 2, 3]]),
        "y": np.arange(10) % 3,
        "train_mask": np.arange(10) < 4,
        "val_mask": (np.arange(10) >= 4) & (np.arange(10) < 7),
        "test_mask": np.arange(10) >= 7,
    }
    graph.update(changes)
    return {name: array for name, array in graph.items() if array is not None}


def load(path: Path, **changes: Any) -> mixq_rl.GraphTask:
    np.savez(path / "graph.npz", **arrays(**changes))
    return mixq_rl.load_task(str(path / "graph.npz"))


def test_loads_npz(tmp_path: Path) -> None:
    graph = arrays()
    np.savez(tmp_path / "graph.npz", **graph)
    task = mixq_rl.load_task(str(tmp_path / "graph.npz"))
    assert np.array_equal(task.x.numpy(), graph["x"])
    assert np.array_equal(task.edge_index.numpy(), graph["edge_index"])
    assert np.array_equal(task.masks["validation"].numpy(), graph["val_mask"])
    assert task.num_classes == 3


def test_loads_a_dictionary_of_tensors(tmp_path: Path) -> None:
    torch.save({name: torch.from_numpy(array) for name, array in arrays().items()}, tmp_path / "graph.pt")
    assert mixq_rl.load_task(str(tmp_path / "graph.pt")).num_nodes == 10


def test_without_masks_the_nodes_are_split_60_20_20(tmp_path: Path) -> None:
    task = load(tmp_path, train_mask=None, val_mask=None, test_mask=None)
    assert [int(task.masks[split].sum()) for split in ("train", "validation", "test")] == [6, 2, 2]
    again = load(tmp_path, train_mask=None, val_mask=None, test_mask=None)
    assert torch.equal(task.masks["train"], again.masks["train"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.where(np.arange(40).reshape(10, 4) == 13, np.nan, 1.0)}, "features of node 3 are not finite"),
        ({"x": np.full((10, 4), np.inf)}, "features of node 0 are not finite"),
        ({"x": np.ones(10)}, r"x must be of shape \[nodes, features\], not \[10\]"),
        ({"x": np.zeros((0, 4))}, r"x must be of shape"),
        ({"edge_index": np.array([[0], [10]])}, r"names node 10, but the graph has nodes 0\.\.\.9"),
        ({"edge_index": np.array([[-1], [0]])}, "names node -1"),
        ({"edge_index": np.array([[0.5], [1.0]])}, "edge_index must be integers"),
        ({"edge_index": np.array([0, 1])}, r"of shape \[2, edges\]"),
        ({"y": np.arange(9)}, r"y has shape \[9\], but there are 10 nodes"),
        ({"y": np.arange(10) / 2}, "y holds real numbers: regression is not supported"),
        ({"x": np.full((10, 4), 3e38)}, r"features reach 3e\+38: normalise them"),
        ({"x": np.ones((10, 4), dtype=complex)}, "x must be a dense, real tensor"),
        ({"edge_index": np.array([[0, 1, 2], [1, 2, 3], [2, 3, 4]])}, "edge_index must be integers of shape"),
        ({"edge_index": np.array([[0], [2**63]], dtype=np.uint64)}, "names node -"),
        ({"train_mask": np.full(10, np.nan)}, "train_mask holds other values than false and true"),
        ({"train_mask": np.arange(10) < 5}, "node 4 is in the train and the validation mask"),
        ({"y": None}, "y missing; it holds x, edge_index"),
        ({"train_mask": np.zeros(10, dtype=bool)}, "the train mask is empty"),
        ({"val_mask": np.ones(9, dtype=bool)}, "the validation mask must be boolean, one entry for each of 10 nodes"),
    ],
)
def test_graphs_that_contradict_themselves_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidGraphError, match=message):
        load(tmp_path, **changes)


def test_unlabelled_nodes_may_have_any_negative_class(tmp_path: Path) -> None:
    task = load(tmp_path, y=np.array([0, 1, 2, -1, 0, 1, 2, 0, 1, 2]), train_mask=np.arange(10) < 3)
    assert task.num_classes == 3


def test_edge_weights_are_read(tmp_path: Path) -> None:
    assert load(tmp_path).edge_weight is None
    assert load(tmp_path, edge_weight=np.array([1, 2, 3])).edge_weight.tolist() == [1, 2, 3]  # type: ignore[union-attr]
    with pytest.raises(
        InvalidGraphError, match=r"graph\.npz: edge_weight must be float32 with one weight for each of 3"
    ):
        load(tmp_path, edge_weight=np.ones(4))
    with pytest.raises(InvalidGraphError, match="the weight of edge 1 is not finite"):
        load(tmp_path, edge_weight=np.array([1, np.inf, 1]))


def many_graphs(**changes: Any) -> dict[str, Any]:
    nodes = np.arange(24)
    masks = dict.fromkeys(("train_mask", "val_mask", "test_mask"))
    graphs = {"x": np.ones((24, 2)), "batch": nodes // 2, "y": np.arange(12) % 2, **masks}
    return {**graphs, "edge_index": np.array([[0, 2], [1, 3]]), **changes}


def test_graphs_without_masks_are_split_into_ten_folds(tmp_path: Path) -> None:
    task = load(tmp_path, **many_graphs())
    assert (task.kind, task.num_graphs) == ("graph", 12)
    assert [int(task.masks[split].sum()) for split in ("train", "validation", "test")] == [8, 2, 2]
    other = mixq_rl.load_task(str(tmp_path / "graph.npz"), fold=9)
    assert torch.equal(other.masks["validation"], task.masks["test"])
    with pytest.raises(InputError, match=r"graph\.npz has no fold 10"):
        mixq_rl.load_task(str(tmp_path / "graph.npz"), fold=10)


def test_masks_of_graphs(tmp_path: Path) -> None:
    place = np.arange(12)
    masks = {"train_mask": place < 4, "val_mask": (place >= 4) & (place < 8), "test_mask": place >= 8}
    task = load(tmp_path, **many_graphs(**masks))
    assert task.masks["train"].nonzero()[:, 0].tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError, match=r"graph\.npz has no fold 1: it has one split"):
        mixq_rl.load_task(str(tmp_path / "graph.npz"), fold=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": np.arange(24)[::-1] // 2}, "batch starts with graph 11"),
        ({"batch": np.arange(24) / 2}, r"batch must be int64 .* not torch\.float64"),
        ({"batch": np.arange(24), "edge_index": np.array([[0], [0]])}, r"y has shape \[12\], but there are 24 graphs"),
        ({"edge_index": np.array([[1], [2]])}, "edge 0 joins node 1 of graph 0 and node 2 of graph 1"),
        (
            {"x": np.ones((18, 2)), "batch": np.arange(18) // 2, "y": np.arange(9) % 2},
            "9 graphs are too few to be split: give train_mask",
        ),
        ({"y": np.arange(12).reshape(2, 6)}, r"y has shape \[2, 6\], but there are 12 graphs"),
        ({"y": np.arange(24).reshape(12, 2)}, r"y \[12, 2\] holds 2 numbers for each graph, .* choose a column"),
    ],
)
def test_graphs_that_contradict_each_other_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidGraphError, match=message):
        load(tmp_path, **many_graphs(**changes))


def test_too_few_nodes_to_split(tmp_path: Path) -> None:
    masks = dict.fromkeys(("train_mask", "val_mask", "test_mask"))
    with pytest.raises(InvalidGraphError, match="2 nodes are too few to be split: give train_mask"):
        load(tmp_path, x=np.ones((2, 1)), y=np.array([0, 1]), edge_index=np.array([[0], [1]]), **masks)


def test_missing_file(tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(DataNotFoundError, match="does not exist as a file"):
        mixq_rl.load_task(str(tmp_path / "folder.npz"))
    with pytest.raises(DataNotFoundError, match=r"graph file '.*none\.npz' does not exist"):
        mixq_rl.load_task(str(tmp_path / "none.npz"))


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("trap-was-sprung"),))


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain.pt").write_bytes(pickle.dumps(_Trap()))
    torch.save({"x": _Trap()}, "zipped.pt")
    np.savez("objects.npz", x=np.array([_Trap()], dtype=object), edge_index=np.zeros(1), y=np.zeros(1))
    for name in ("plain.pt", "zipped.pt", "objects.npz"):
        with pytest.raises(InvalidGraphError, match="cannot be read as a graph of plain arrays"):
            mixq_rl.load_task(name)
    assert not Path("trap-was-sprung").exists()


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04garbage"])
@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"graph{suffix}"
    path.write_bytes(content)
    with pytest.raises(InvalidGraphError, match="cannot be read"):
        mixq_rl.load_task(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(2)], "must hold a dictionary of tensors, not a list"),
        ({0: torch.ones(2)}, "x, edge_index, y missing; it holds 0"),
        ({"x": torch.ones(2, 2, 2).to_sparse()}, "x must be a dense, real tensor"),
        ({"x": torch.ones(2, device="meta")}, r"x must be a dense, real tensor|cannot be read"),
        ({"x": [1.0, "2.0"]}, "x must be a dense, real tensor"),
    ],
)
def test_pt_of_anything_else_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "graph.pt")
    with pytest.raises(InvalidGraphError, match=message):
        mixq_rl.load_task(str(tmp_path / "graph.pt"))


def test_parameters_are_taken_as_values(tmp_path: Path) -> None:
    graph = {name: torch.from_numpy(array) for name, array in arrays().items()}
    torch.save({**graph, "x": torch.nn.Parameter(graph["x"])}, tmp_path / "graph.pt")
    assert not mixq_rl.load_task(str(tmp_path / "graph.pt")).x.requires_grad


def test_flipped_bytes_never_end_in_anything_but_a_plain_answer(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "good.npz", **arrays())
    content = bytearray((tmp_path / "good.npz").read_bytes())
    rng = np.random.default_rng(0)
    for place in rng.integers(len(content), size=200).tolist():
        damaged = content.copy()
        damaged[place] ^= 0xFF
        (tmp_path / "bad.npz").write_bytes(damaged)
        with contextlib.suppress(InvalidGraphError):
            mixq_rl.load_task(str(tmp_path / "bad.npz"))
