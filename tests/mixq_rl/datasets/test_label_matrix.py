import math

import pytest
import torch

from mixq_rl.datasets.label_matrix import check_label_matrix, has_label, label_sets
from mixq_rl.errors import InvalidGraphError


def test_rows_with_equal_labels_have_one_number() -> None:
    y = torch.tensor([[1, 0], [0, 1], [1, 0], [1, math.nan], [1, math.nan]])
    assert label_sets(y).tolist() == [2, 0, 2, 1, 1]
    assert has_label(y).all()
    assert has_label(torch.tensor([[math.nan, math.nan], [math.nan, 1]])).tolist() == [False, True]
    assert has_label(torch.tensor([-1, 0])).tolist() == [False, True]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (torch.zeros(2, 2, dtype=torch.float64), "must be float32, not torch.float64"),
        (torch.zeros(3, 2), r"y has shape \[3, 2\], but there are 2 graphs: each needs a row of labels"),
        (torch.zeros(2, 0), r"y has shape \[2, 0\]"),
        (torch.tensor([[0.0, 1], [0, 0.5]]), "label 1 of graph 1 is 0.5: labels are 0, 1, or NaN where unknown"),
    ],
)
def test_other_values_are_refused(y: torch.Tensor, message: str) -> None:
    with pytest.raises(InvalidGraphError, match=message):
        check_label_matrix(y, 2, "graph")
