from typing import Any

import numpy as np
import pytest
import torch

from mixq_rl.datasets.memory_limit import ExcessError
from mixq_rl.datasets.plain_lists import read_list, read_texts


@pytest.mark.parametrize(
    "value", [[1, 2, 3], [1.5, 2, True], [True, False], [[1, 2], [3, 4]], [[0.5, 1], [2, 3]], [[], []]]
)
def test_numbers_become_tensors(value: Any) -> None:
    found = read_list(value)
    assert found is not None
    assert torch.equal(found.double(), torch.tensor(value, dtype=torch.float64))


def test_one_number_is_a_list_of_one() -> None:
    assert read_list(3).tolist() == [3]  # type: ignore[union-attr]


@pytest.mark.parametrize("value", ["text", [], ["a"], [1, "a"], [[1, 2], [3]], [[1], 2], [[[1]]], None, {"a": 1}])
def test_anything_else_is_none(value: Any) -> None:
    assert read_list(value) is None


def test_one_list_many_times_is_counted_as_what_it_becomes() -> None:
    row = [0] * 10**5
    with pytest.raises(ExcessError):
        read_list([row] * 10**4)


@pytest.mark.parametrize("dtype", ["U4", "S4"])
def test_texts_are_numbered(dtype: str) -> None:
    numbers, names = read_texts(np.array(["b", "", "a", "b"], dtype=dtype))
    assert numbers.tolist() == [1, -1, 0, 1]
    assert names == ["a", "b"]


def test_texts_of_missing_values_are_none() -> None:
    numbers, names = read_texts(np.array(["b", "nan", "Nan", "None", "<NA>", "zebra"]))
    assert numbers.tolist() == [1, -1, 0, -1, -1, 2]
    assert names == ["Nan", "b", "zebra"]
    assert read_texts(np.array(["nan"]))[0].tolist() == [-1]
