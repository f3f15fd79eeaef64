from typing import Any

import pytest
import torch
from torch import Tensor

from mixq_rl.datasets.partial_splits import complete_splits, drawn_splits, read_masks
from mixq_rl.datasets.splits import fraction_split
from mixq_rl.datasets.task import Split
from mixq_rl.errors import InputError, InvalidGraphError

ROWS = 40
ALL = torch.ones(ROWS, dtype=torch.bool)
PLACE = torch.arange(ROWS)
FIRST, MIDDLE, LAST = PLACE < 20, (PLACE >= 20) & (PLACE < 30), PLACE >= 30


def masks(fold: int | None = None, **entries: Tensor) -> Any:
    return read_masks("graph.pt", entries, ROWS, "node", fold)


def check_disjoint(splits: dict[Split, Tensor]) -> None:
    assert list(splits) == ["train", "validation", "test"]
    assert int(torch.stack(list(splits.values())).sum(dim=0).max()) == 1
    assert all(bool(mask.any()) for mask in splits.values())


def test_columns_are_splits() -> None:
    columns = torch.stack([FIRST, ~FIRST], dim=1)
    found = masks(1, train_mask=columns, val_mask=columns.flip(1), test_mask=LAST)
    assert torch.equal(found.splits["train"], ~FIRST)
    assert torch.equal(found.splits["validation"], FIRST)
    assert torch.equal(found.splits["test"], LAST)
    assert bool(found.marked.all())
    first = masks(None, train_mask=columns)
    assert torch.equal(first.splits["train"], FIRST)
    assert "hold 2 splits: the first is used" in first.notes[0]
    with pytest.raises(InputError, match=r"graph\.pt has no fold 2: it has folds 0\.\.\.1"):
        masks(2, train_mask=columns)
    with pytest.raises(InputError, match="has no fold 1: it has one split"):
        masks(1, train_mask=FIRST[:, None])
    with pytest.raises(InvalidGraphError, match="different numbers of columns"):
        masks(0, train_mask=columns, val_mask=columns[:, :1].expand(ROWS, 3))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32, torch.float64])
def test_zeros_and_ones_are_masks(dtype: torch.dtype) -> None:
    assert torch.equal(masks(train_mask=FIRST.to(dtype)).splits["train"], FIRST)
    assert torch.equal(masks(train_mask=FIRST.to(dtype)[:, None]).splits["train"], FIRST)


def test_columns_may_be_rows() -> None:
    found = masks(1, train_mask=torch.stack([FIRST, LAST, MIDDLE]))
    assert torch.equal(found.splits["train"], LAST)
    assert "[3, 40] was read as [40, 3]" in found.notes[0]


def test_numbers_of_nodes_are_masks() -> None:
    found = masks(train_idx=PLACE[FIRST], valid_idx=PLACE[MIDDLE].flip(0).int(), test_mask=PLACE[LAST])
    assert torch.equal(found.splits["train"], FIRST)
    assert torch.equal(found.splits["validation"], MIDDLE)
    assert torch.equal(found.splits["test"], LAST)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"train_mask": FIRST[:9]}, "the train mask must be boolean, one entry for each of 40 nodes"),
        ({"train_mask": PLACE % 3}, "train_mask holds other values than false and true"),
        ({"train_mask": FIRST / 2}, "train_mask holds other values"),
        ({"train_mask": torch.full((ROWS,), float("nan"))}, "train_mask holds other values"),
        ({"train_idx": torch.tensor([3, 3])}, "must hold the numbers of nodes, each once"),
        ({"train_idx": torch.tensor([3, 40])}, "names node 40, but there are nodes 0...39"),
        ({"train_idx": torch.tensor([-1, 4])}, "names node -1"),
        ({"train_idx": FIRST}, "must hold the numbers of nodes"),
        ({"train_idx": torch.tensor([0.5])}, "must hold the numbers of nodes"),
    ],
)
def test_what_is_no_mask_is_refused(entry: dict[str, Tensor], message: str) -> None:
    with pytest.raises(InvalidGraphError, match=message):
        masks(**entry)


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        ({"train": FIRST, "test": LAST}, [20, 10, 10]),
        ({"train": FIRST, "validation": LAST}, [20, 10, 10]),
        ({"validation": MIDDLE, "test": LAST}, [20, 10, 10]),
        ({"train": FIRST}, [20, 10, 10]),
        ({"test": LAST}, [22, 8, 10]),
        ({"validation": LAST}, [22, 10, 8]),
        ({"train": FIRST, "test": ~FIRST}, [16, 4, 20]),
        ({"train": FIRST, "validation": FIRST & LAST, "test": ~FIRST}, [16, 4, 20]),
        ({"train": PLACE < 36}, [29, 7, 4]),
    ],
)
def test_missing_masks_are_drawn(given: dict[Split, Tensor], sizes: list[int]) -> None:
    splits, notes = complete_splits(given, ALL, "node")
    check_disjoint(splits)
    assert [int(mask.sum()) for mask in splits.values()] == sizes
    again, _ = complete_splits(given, ALL, "node")
    assert all(torch.equal(splits[split], again[split]) for split in splits)
    assert any("drawn" in note for note in notes)
    for split, mask in given.items():
        if split != "train":
            assert torch.equal(splits[split] & mask, mask)


def test_nodes_without_a_label_leave_the_masks() -> None:
    splits, notes = complete_splits({"train": FIRST, "validation": MIDDLE, "test": LAST}, PLACE % 2 == 0, "node")
    assert [int(mask.sum()) for mask in splits.values()] == [10, 5, 5]
    assert "10 nodes without a label leave the train mask" in notes
    drawn, _ = complete_splits({"train": FIRST}, PLACE % 2 == 0, "node")
    assert not bool(torch.stack(list(drawn.values()))[:, 1::2].any())
    with pytest.raises(InvalidGraphError, match="no node of the test mask has a label"):
        complete_splits({"train": FIRST, "test": LAST}, FIRST, "node")


def test_nothing_is_left() -> None:
    with pytest.raises(InvalidGraphError, match="no graphs are left for the test mask"):
        complete_splits({"train": ALL}, ALL, "graph")
    with pytest.raises(InvalidGraphError, match="no nodes are left for the train mask"):
        complete_splits({"validation": FIRST, "test": ~FIRST}, ALL, "node")


def test_one_training_row_is_not_taken_away() -> None:
    with pytest.raises(InvalidGraphError, match="one training node is too few"):
        complete_splits({"train": PLACE == 0, "test": PLACE > 0}, ALL, "node")


def test_labelled_rows_are_split() -> None:
    y = torch.where(PLACE % 2 == 0, PLACE % 3, -1)
    splits = drawn_splits("g", y, y >= 0, "node", None)
    check_disjoint(splits)
    assert [int(mask.sum()) for mask in splits.values()] == [12, 4, 4]
    whole = drawn_splits("g", PLACE % 3, ALL, "node", 0)
    before = fraction_split(ROWS, train=0.6, validation=0.2, seed=0)
    assert all(torch.equal(whole[split], before[split]) for split in before)
    graphs = drawn_splits("g", torch.zeros(ROWS, 5), ALL, "graph", 3)
    check_disjoint(graphs)
    with pytest.raises(InvalidGraphError, match="4 nodes with a label are too few to be split"):
        drawn_splits("g", y, PLACE < 4, "node", None)
