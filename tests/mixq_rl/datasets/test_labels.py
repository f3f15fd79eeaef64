from typing import Any

import pytest
import torch
from torch import nan

from mixq_rl.datasets.labels import Labels, read_labels
from mixq_rl.errors import InvalidGraphError

CLASSES = torch.arange(12) % 3
HALF = torch.arange(12) < 6


def read(y: Any, **options: Any) -> Labels:
    return read_labels(torch.as_tensor(y), 12, "node", **options)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (CLASSES, None),
        (CLASSES.to(torch.uint8), None),
        (CLASSES.to(torch.int16), None),
        (CLASSES[:, None], r"y \[12, 1\] was read as \[12\]"),
        (CLASSES[None], r"y \[1, 12\] was read as \[12\]"),
        (CLASSES[:, None, None], r"was read as \[12\]"),
        (CLASSES.float(), "whole numbers as float32"),
        (CLASSES.half()[:, None], "whole numbers as float16"),
        (torch.eye(3)[CLASSES], "one-hot"),
        (torch.eye(3, dtype=torch.bool)[CLASSES], "one-hot"),
        (torch.eye(3, dtype=torch.int64)[CLASSES], "one-hot"),
    ],
)
def test_the_same_classes_in_another_form(y: torch.Tensor, said: str | None) -> None:
    labels = read(y)
    assert torch.equal(labels.y, CLASSES)
    assert labels.y.dtype == torch.int64
    assert labels.class_names is None
    assert not labels.notes if said is None else any(said.replace("\\", "") in note for note in labels.notes)


def test_booleans_are_two_classes() -> None:
    assert read(HALF).y.tolist() == [1] * 6 + [0] * 6


@pytest.mark.parametrize(
    ("y", "names"),
    [
        (10 * (CLASSES + 1), ("10", "20", "30")),
        (CLASSES + 1, ("1", "2", "3")),
        ((CLASSES + 1).double(), ("1", "2", "3")),
        (CLASSES - 5, ("-5", "-4", "-3")),
        (CLASSES - 2, ("-2", "-1", "0")),  # -1 is a class where it is not the only negative number
        (torch.where(CLASSES == 2, 10**9, CLASSES), ("0", "1", "1000000000")),
        (torch.full((12,), 7), ("7",)),
        (2 * (CLASSES % 2) - 1, ("-1", "1")),
        (torch.eye(4)[CLASSES + 1], ("1", "2", "3")),
    ],
)
def test_other_numbers_are_renumbered_and_keep_their_names(y: torch.Tensor, names: tuple[str, ...]) -> None:
    labels = read(y)
    assert labels.class_names == names
    assert sorted(set(labels.y.tolist())) == list(range(len(names)))
    flat = y.argmax(dim=1) if y.dim() == 2 else y
    assert [names[label] for label in labels.y] == [str(int(number)) for number in flat]
    assert "predict writes their names" in labels.notes[-1]


@pytest.mark.parametrize(
    "y",
    [
        torch.where(HALF, CLASSES, -1),
        torch.where(HALF, CLASSES, -100),
        torch.where(HALF, CLASSES.float(), nan),
        torch.where(HALF, CLASSES.float(), nan)[:, None],
        torch.where(HALF[:, None], torch.eye(3)[CLASSES], nan),
    ],
)
def test_rows_without_a_label(y: torch.Tensor) -> None:
    labels = read(y)
    assert labels.known.tolist() == HALF.tolist()
    assert torch.equal(labels.y[:6], CLASSES[:6])
    assert labels.class_names is None
    assert "6 of 12 nodes have no label" in labels.notes[-1]


def test_outside_all_masks_any_negative_number_is_no_label() -> None:
    y = torch.where(HALF, CLASSES, -7)
    assert torch.equal(read(y, marked=HALF).known, HALF)
    assert read(y).class_names == ("-7", "0", "1", "2")
    of_two = torch.where(HALF, 1, -1)
    assert read(of_two).class_names == ("-1", "1")
    assert torch.equal(read(of_two, marked=HALF).known, HALF)
    planetoid = torch.where(HALF[:, None], torch.eye(3)[CLASSES], 0.0)
    assert torch.equal(read(planetoid, marked=HALF).known, HALF)
    assert read(planetoid).y.shape == (12, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool])
def test_several_labels_of_each_row(dtype: torch.dtype) -> None:
    y = (torch.arange(60).reshape(12, 5) % 3 == 0).to(dtype)
    labels = read(y)
    assert labels.y.dtype == torch.float32
    assert torch.equal(labels.y, y.float())
    assert labels.known.all()
    assert "5 labels of each node (multi-label)" in labels.notes[0]


def test_labels_that_are_not_known_are_nan() -> None:
    y = torch.eye(3)[CLASSES]
    y[3] = nan
    y[4, 0] = nan
    labels = read(y)
    assert labels.y.dtype == torch.float32
    assert labels.known.tolist() == [row != 3 for row in range(12)]


def test_classes_in_words() -> None:
    labels = read(torch.tensor([0, 1, -1] * 4), texts=["cat", "dog\x1b"])
    assert labels.class_names == ("cat", "dog\\x1b")
    assert int(labels.known.sum()) == 8


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (torch.randn(12), "y holds real numbers: regression is not supported"),
        (torch.randn(12, 4), r"y \[12, 4\] holds real numbers: regression"),
        (CLASSES / 2, "regression"),
        (torch.arange(12.0) * float("inf"), "NaN|infinity|no node has a label"),
        (torch.where(HALF, CLASSES.float(), float("inf")), "y holds infinity"),
        (CLASSES.double() * 1e300, "give classes 0, 1, 2, ... as integers"),
        (torch.full((12,), -1), "no node has a label"),
        (torch.full((12,), nan), "no node has a label"),
        (CLASSES[:9], r"y has shape \[9\], but there are 12 nodes"),
        (CLASSES.reshape(3, 4), r"y has shape \[3, 4\]"),
        (torch.zeros(12, 0), r"y has shape \[12, 0\]"),
        (torch.tensor(1), r"y has shape \[\]"),
        (torch.full((12, 3), 1 / 3), r"probabilities: give the classes, y\.argmax"),
        (torch.stack([CLASSES, CLASSES], dim=1), "choose a column"),
        (torch.stack([CLASSES, -CLASSES], dim=1).clamp(-1, 1), "holds -1 beside 0 and 1"),
    ],
)
def test_labels_of_no_task_that_there_is(y: torch.Tensor, message: str) -> None:
    with pytest.raises(InvalidGraphError, match=message):
        read(y)


def test_many_different_whole_numbers_are_no_classes() -> None:
    with pytest.raises(InvalidGraphError, match="40 different numbers for 40 graphs: regression"):
        read_labels(3 * torch.arange(40), 40, "graph")
    assert read_labels(torch.arange(40) % 20, 40, "graph").class_names is None
