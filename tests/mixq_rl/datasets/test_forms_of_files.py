"""Files of users in the forms that they come in: taken, or refused in one line."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mixq_rl
from mixq_rl.errors import InputError, InvalidGraphError

RNG = np.random.default_rng(0)


def load(path: Path, **entries: Any) -> mixq_rl.GraphTask:
    np.savez(path / "graph.npz", **{name: entry for name, entry in entries.items() if entry is not None})
    return mixq_rl.load_task(str(path / "graph.npz"))


def many_graphs(**changes: Any) -> dict[str, Any]:
    graphs = {"x": np.ones((24, 2)), "batch": np.arange(24) // 2, "edge_index": np.array([[0, 2], [1, 3]])}
    return {**graphs, "y": np.arange(12) % 2, **changes}


ROWS = np.arange(40)


def big(**changes: Any) -> dict[str, Any]:
    edges = np.array([ROWS, (ROWS + 1) % 40])
    return {"x": RNG.random((40, 4)), "edge_index": edges, "y": ROWS % 4, **changes}


@pytest.mark.parametrize(
    ("changes", "classes", "said"),
    [
        ({"y": (ROWS % 4)[:, None]}, 4, "y [40, 1] was read as [40]"),
        ({"y": np.eye(4)[ROWS % 4]}, 4, "one-hot"),
        ({"y": np.eye(4, dtype=bool)[ROWS % 4]}, 4, "one-hot"),
        ({"y": (ROWS % 4).astype(np.float16)}, 4, "float16"),
        ({"y": (ROWS % 4).astype(np.uint8)}, 4, "float64 to float32"),
        ({"y": (ROWS % 4).astype(">i4")}, 4, ""),
        ({"y": np.where(ROWS % 3 == 0, -1, ROWS % 4)}, 4, "14 of 40 nodes have no label"),
        ({"y": np.where(ROWS % 3 == 0, np.nan, ROWS % 4)}, 4, "14 of 40 nodes have no label"),
        ({"y": 10 * (ROWS % 4 + 1)}, 4, "classes 10, 20, 30, 40 were numbered 0...3"),
        ({"y": np.array(["a", "bc", "d", "e"])[ROWS % 4]}, 4, "classes a, bc, d, e"),
        ({"y": np.array([b"a", b"bc", b"d", b""])[ROWS % 4]}, 3, "10 of 40 nodes have no label"),
        ({"y": ROWS % 2 == 0}, 2, ""),
        ({"y": 2 * (ROWS % 2) - 1}, 2, "classes -1, 1"),
        ({"train_mask": ROWS < 20, "test_mask": ROWS >= 30}, 4, "no validation mask"),
        ({"train_mask": ROWS < 20}, 4, "no validation and no test mask"),
        ({"train_mask": ROWS[:20], "test_mask": ROWS >= 30}, 4, "numbers of 20 nodes"),
        ({"train_mask": np.stack([ROWS < 20] * 3, axis=1), "test_mask": ROWS >= 30}, 4, "hold 3 splits"),
        ({"edge_index": np.array([ROWS, ROWS]).T}, 4, "[40, 2] was read as [2, 40]"),
        ({"edge_index": np.array([ROWS, ROWS]).astype(float)}, 4, "edge_index held whole numbers"),
        ({"edge_attr": np.arange(40) + 0.5}, 4, "edge_attr [40] was read as edge_weight"),
        ({"edge_attr": np.ones((40, 1))}, 4, "edge_attr [40, 1] was read as edge_weight"),
        ({"edge_attr": np.ones((40, 3))}, 4, "edge_attr [40, 3] is not used"),
        ({"edge_attr": np.zeros(40)}, 4, "edge_attr [40] is not used"),
        ({"edge_attr": np.array(["a"] * 40)}, 4, "float32"),
        ({"edge_attr": np.ones(40), "edge_weight": np.ones(40)}, 4, "edge_attr is not used, because"),
        ({"edge_weight": np.ones((40, 1))}, 4, "edge_weight [40, 1] was read as [40]"),
        ({"pos": np.ones((40, 2)), "edge_type": ROWS, "adj": np.eye(3)}, 4, "not used: pos, edge_type, adj"),
        ({"x": np.ones((40, 4), dtype=np.float16)}, 4, "x was converted from float16"),
        ({"x": np.ones((40, 4), dtype=bool)}, 4, ""),
        ({"x": np.asfortranarray(RNG.random((40, 4)).astype(">f4"))}, 4, ""),
    ],
)
def test_what_people_bring_is_taken_and_said(tmp_path: Path, changes: Any, classes: int, said: str) -> None:
    task = load(tmp_path, **big(**changes))
    assert task.num_classes == classes
    assert said in " / ".join(task.notes)
    taken = torch.stack(list(task.masks.values()))
    assert taken.any(dim=1).all()
    assert int(taken.sum(dim=0).max()) == 1
    assert bool((task.y[taken.any(dim=0)] >= 0).all())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": RNG.standard_normal(40)}, "regression is not supported"),
        ({"y": 7 * ROWS}, "40 different numbers for 40 nodes: regression"),
        ({"y": np.array([None] * 40)}, r"y of objects, which only unpickling would read: save y.astype\(str\)"),
        (
            {"x": np.ones((40, 2), dtype=object)},
            r"x of objects, which only unpickling would read: save x.astype\('float32'\)",
        ),
        ({"y": np.full(40, -1)}, "no node has a label"),
        ({"y": np.where(ROWS < 3, ROWS, -1)}, "3 nodes with a label are too few to be split"),
        ({"train_mask": np.ones(40, dtype=bool)}, "no nodes are left for the test mask"),
        (
            {"train_mask": ROWS < 9, "val_mask": ROWS < 5, "test_mask": ROWS > 30},
            "in the train and the validation mask",
        ),
        ({"edge_index": np.array([ROWS + 1, ROWS[::-1] + 1])}, "subtract 1"),
        ({"edge_index": np.eye(40)}, "is an adjacency matrix"),
        ({"x": None}, "x missing; it holds edge_index, y; give nodes features"),
        ({"x": np.full((40, 2), 1e300)}, r"features reach 1e\+300, beyond float32: normalise them"),
    ],
)
def test_the_rest_is_refused_in_one_line(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(InvalidGraphError, match=message) as error:
        load(tmp_path, **big(**changes))
    assert str(error.value).isprintable()


def test_labels_of_nodes_in_a_batch_are_labels_of_nodes(tmp_path: Path) -> None:
    whole = load(tmp_path, **big(batch=np.zeros(40, dtype=np.int64)))
    assert whole.kind == "node"
    assert "batch is not used: y has a label for each of 40 nodes, not for each of 1 graphs" in whole.notes
    several = load(tmp_path, **big(batch=ROWS // 4))
    assert several.kind == "node"
    assert torch.equal(several.y, torch.from_numpy(ROWS % 4))


def test_a_fold_chooses_the_column(tmp_path: Path) -> None:
    train = np.stack([ROWS < 20, ROWS % 2 == 0], axis=1)
    arguments = big(train_mask=train, val_mask=~train & (ROWS < 30)[:, None], test_mask=(ROWS >= 30) & (ROWS % 2 == 1))
    with pytest.raises(InvalidGraphError, match=r"node 0 is in the train and the test mask"):
        load(tmp_path, **{**arguments, "test_mask": ROWS >= 0})
    load(tmp_path, **arguments)
    tasks = [mixq_rl.load_task(str(tmp_path / "graph.npz"), fold=fold) for fold in (0, 1)]
    for fold, task in enumerate(tasks):
        assert np.array_equal(task.masks["train"].numpy(), train[:, fold])
    with pytest.raises(InputError, match="has no fold 2"):
        mixq_rl.load_task(str(tmp_path / "graph.npz"), fold=2)


def test_labels_of_graphs_take_the_same_forms(tmp_path: Path) -> None:
    place = np.arange(12)
    task = load(tmp_path, **many_graphs(y=np.eye(2)[place % 2]))
    assert task.y.tolist() == (place % 2).tolist()
    partly = load(tmp_path, **many_graphs(y=np.where(place == 3, np.nan, 5.0 + place % 2)[:, None]))
    assert partly.class_names == ("5", "6")
    assert not any(bool(mask[3]) for mask in partly.masks.values())
    some = load(tmp_path, **many_graphs(train_mask=place < 6))
    assert [int(mask.sum()) for mask in some.masks.values()] == [6, 3, 3]


def test_notes_stay_with_the_task_and_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="mixq_rl"):
        task = load(tmp_path, **big(pos=np.ones(3)))
    assert [f"graph.npz: {note}" for note in task.notes] == [record.getMessage() for record in caplog.records]
    assert replace(task, name="other").notes == task.notes
