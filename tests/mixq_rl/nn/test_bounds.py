import pytest
import torch

from mixq_rl.nn.bounds import check_aggregate, check_heads, check_linear
from mixq_rl.quantization import IntegerRange, PackedRows
from mixq_rl.sparse import CSR


def packed(weight: torch.Tensor) -> PackedRows:
    return PackedRows.pack(weight, IntegerRange(8, True))


def star(degree: int) -> CSR:
    """Two nodes, the second of which has so many neighbours."""
    rowptr = torch.tensor([0, 1, 1 + degree], dtype=torch.int32)
    return CSR(rowptr, torch.zeros(1 + degree, dtype=torch.int32), 2)


def test_sums_that_just_fit_pass_and_one_more_is_refused_by_layer_and_column() -> None:
    fits = (2**31 - 1) // (255 * 128)
    weight = torch.full((fits, 2), -128, dtype=torch.int8)
    check_linear("conv1", packed(weight), IntegerRange(8, False), 0)
    weight = torch.full((fits + 1, 2), -128, dtype=torch.int8)
    weight[:, 0] = 0
    with pytest.raises(
        OverflowError, match=r"layer 'conv1': the sum over \d+ inputs in column 1 may reach \d+, beyond int32"
    ):
        check_linear("conv1", packed(weight), IntegerRange(8, False), 0)


def test_zero_points_count() -> None:
    weight = torch.full(((2**31 - 1) // (255 * 128), 1), -128, dtype=torch.int8)
    with pytest.raises(OverflowError):
        check_linear("conv1", packed(weight), IntegerRange(8, False), 3)


def test_neighbours_that_just_fit_pass_and_one_more_is_refused_by_layer_and_node() -> None:
    fits = (2**31 - 1) // (255 * 128)
    check_aggregate("conv2", star(fits), IntegerRange(8, False), 0, IntegerRange(8, True), 0)
    with pytest.raises(OverflowError, match=rf"layer 'conv2': the sum over the {fits + 1} neighbours of node 1"):
        check_aggregate("conv2", star(fits + 1), IntegerRange(8, False), 0, IntegerRange(8, True), 0)


def test_heads_that_are_averaged_just_fit_and_one_more_is_refused() -> None:
    check_heads("gat", 1023, IntegerRange(8, True), 0)
    with pytest.raises(OverflowError, match=r"layer 'gat': the sum over 1024 heads may reach 2147483648, beyond int32"):
        check_heads("gat", 1024, IntegerRange(8, True), 0)


def test_nothing_overflows_nothing() -> None:
    check_linear("conv1", packed(torch.zeros(0, 0, dtype=torch.int8)), IntegerRange(8, False), 0)
    empty = CSR(torch.zeros(1, dtype=torch.int32), torch.zeros(0, dtype=torch.int32), 0)
    check_aggregate("conv1", empty, IntegerRange(8, False), 0, IntegerRange(8, True), 0)
