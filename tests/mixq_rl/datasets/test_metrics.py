import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixq_rl.datasets.metrics import default_metric, fitting, metrics
from mixq_rl.errors import InputError, UnknownNameError

LOGITS = torch.tensor([[2.0, 1, 0], [0, 3, 1], [1, 0, 2], [4, 1, 1], [0, 1, 3], [2, 1, 0]])
CLASSES = torch.tensor([0, 1, 1, 0, 2, 2])  # predicted are 0, 1, 2, 0, 2, 0
LABELS = torch.tensor([[1.0, 0], [0, 1], [1, math.nan], [0, 1], [math.nan, 0]])
LABEL_LOGITS = torch.tensor([[1.0, -1], [0.5, 2], [-1, 3], [-2, -1], [5, 1]])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", 4 / 6),
        ("balanced-accuracy", (2 / 2 + 1 / 2 + 1 / 2) / 3),
        ("macro-f1", (2 * 2 / (3 + 2) + 2 * 1 / (1 + 2) + 2 * 1 / (2 + 2)) / 3),
        ("micro-f1", 4 / 6),
    ],
)
def test_classes_by_hand(name: str, expected: float) -> None:
    assert metrics[name].score(LOGITS, CLASSES) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Label 0: 1 true positive, 1 false positive, 1 false negative. Label 1: 1, 1, 1.
        ("macro-f1", (2 / 4 + 2 / 4) / 2),
        ("micro-f1", 4 / 8),
        # Label 0: of the pairs of a positive and a negative row, 1 > 0.5, 1 > -2, -1 > -2 are in order, -1 > 0.5 not.
        # Label 1: 2 > -1, 2 > 1 are in order, -1 = -1 counts half, -1 > 1 is not.
        ("roc-auc", (3 / 4 + 2.5 / 4) / 2),
    ],
)
def test_labels_by_hand_with_unknown_ones_left_out(name: str, expected: float) -> None:
    assert metrics[name].score(LABEL_LOGITS, LABELS) == pytest.approx(expected)


def area_by_pairs(positive: Tensor, values: Tensor) -> float | None:
    pairs = list(itertools.product(values[positive].tolist(), values[~positive].tolist()))
    return sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs) if pairs else None


def mean(areas: list[float | None]) -> float:
    found = [area for area in areas if area is not None]
    return sum(found) / len(found) if found else 0.5


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), classes=st.integers(2, 5), rows=st.integers(2, 12), levels=st.integers(1, 7))
def test_area_is_the_share_of_ordered_pairs(seed: int, classes: int, rows: int, levels: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randint(-levels, levels + 1, (rows, classes), generator=draw).double()
    y = torch.randint(0, classes, (rows,), generator=draw)
    shares = logits.softmax(dim=1).float()  # rounded, so that equal probabilities are equal
    areas = [area_by_pairs(y == label, shares[:, label]) for label in range(classes)]
    assert metrics["roc-auc"].score(logits, y) == pytest.approx(mean(areas))
    labels = torch.randint(0, 2, (rows, classes), generator=draw).float()
    labels[torch.rand(rows, classes, generator=draw) < 0.2] = math.nan
    columns = [(labels[:, c] == 1, logits[:, c], ~labels[:, c].isnan()) for c in range(classes)]
    areas = [area_by_pairs(positive[known], values[known]) for positive, values, known in columns]
    assert metrics["roc-auc"].score(logits, labels) == pytest.approx(mean(areas))


def test_certain_probabilities_keep_their_order() -> None:
    """In float32 the softmax of these logits is 1 for all rows, which would make them equal."""
    logits = torch.tensor([[200.0, 0], [300, 0], [400, 0]])
    assert metrics["roc-auc"].score(logits, torch.tensor([1, 1, 0])) == 1.0


@pytest.mark.parametrize("name", list(metrics))
@pytest.mark.parametrize("classes", [[0, 0, 0, 0], [0, 2, 2, 0], [1, 1, 2, 2]])
def test_classes_without_a_row_leave_a_number(name: str, classes: list[int]) -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert 0 <= metrics[name].score(logits, torch.tensor(classes)) <= 1


@pytest.mark.parametrize("name", [name for name in metrics if metrics[name].multi_label])
@pytest.mark.parametrize("column", [[0.0, 0, 0], [1, 1, 1], [math.nan] * 3, [math.nan, 1, math.nan]])
def test_labels_of_one_kind_leave_a_number(name: str, column: list[float]) -> None:
    logits = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    assert 0 <= metrics[name].score(logits, torch.tensor([column, [0, 1, 1]]).T) <= 1
    assert 0 <= metrics[name].score(logits[:, :1], torch.tensor([column]).T) <= 1
    assert 0 <= metrics[name].constant(torch.tensor([column]).T) <= 1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(list(metrics)))
def test_no_constant_prediction_is_better_than_the_baseline(seed: int, name: str) -> None:
    draw, metric = torch.Generator().manual_seed(seed), metrics[name]
    y = torch.randint(0, 3, (9,), generator=draw)
    scores = [metric.score(torch.eye(3)[[label] * 9], y) for label in range(3)]
    assert max(scores) == pytest.approx(metric.constant(y))
    if metric.multi_label:
        labels = torch.randint(0, 2, (9, 3), generator=draw).float()
        labels[torch.rand(9, 3, generator=draw) < 0.2] = math.nan
        answers = [torch.tensor([answer]).expand(9, 3) for answer in itertools.product((-1.0, 1.0), repeat=3)]
        assert max(metric.score(answer, labels) for answer in answers) == pytest.approx(metric.constant(labels))


def test_five_percent_of_positives_are_worth_as_much_as_the_others() -> None:
    y = (torch.arange(100) < 5).long()
    nothing, everything = torch.tensor([[1.0, 0]]).expand(100, 2), torch.nn.functional.one_hot(y, 2).float()
    assert (metrics["accuracy"].constant(y), metrics["balanced-accuracy"].constant(y)) == (0.95, 0.5)
    assert metrics["balanced-accuracy"].score(nothing, y) == 0.5
    assert metrics["balanced-accuracy"].score(everything, y) == 1.0


def test_metric_that_does_not_fit_is_refused_with_those_that_do() -> None:
    with pytest.raises(
        InputError, match=r"^metric accuracy does not measure.*: choose one of macro-f1, micro-f1, roc-auc$"
    ):
        fitting("accuracy", multi_label=True)
    with pytest.raises(UnknownNameError, match=r"unknown metric 'rocauc'.*did you mean 'roc-auc'"):
        fitting("rocauc", multi_label=False)
    assert (default_metric(False), default_metric(True)) == ("accuracy", "roc-auc")
