import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mixq_rl.errors import InvalidGraphError
from mixq_rl.kernels.indices import check_indices, checked_copy

Check = Callable[[torch.Tensor, torch.Tensor, int], object]


def csr(rowptr: list[int], col: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(rowptr, dtype=torch.int32), torch.tensor(col, dtype=torch.int32)


each_check = pytest.mark.parametrize("check", [check_indices, checked_copy])


@each_check
@pytest.mark.parametrize(
    ("rowptr", "col", "message"),
    [
        ([0, 1, 3], [0, 1, 2], r"col names node 2, but there are rows for nodes 0\.\.\.1"),
        ([0, 1, 3], [0, -1, 1], "col names node -1"),
        ([0, 1, 4], [0, 1, 1], "number of edges, 3: it goes from 0 to 4"),
        ([1, 1, 3], [0, 1, 1], "it goes from 1 to 3"),
        ([0, 3, 1, 3], [0, 1, 1], "descends on the way"),
        ([0, 2**31 - 1, -2, 3], [0, 1, 1], "descends on the way"),  # its differences wrap around to ascending ones
        ([0], [0], "it goes from 0 to 0"),
    ],
)
def test_what_leads_out_of_bounds_is_refused(check: Check, rowptr: list[int], col: list[int], message: str) -> None:
    with pytest.raises(InvalidGraphError, match=message):
        check(*csr(rowptr, col), 2)


@each_check
def test_empty_graphs_pass(check: Check) -> None:
    check(*csr([0], []), 0)
    check(*csr([0, 0, 0], []), 2)


def test_a_graph_that_was_written_to_is_checked_again() -> None:
    rowptr, col = csr([0, 1, 2], [0, 1])
    checked_copy(rowptr, col, 2)
    with pytest.raises(InvalidGraphError, match="node 1"):
        checked_copy(rowptr, col, 1)
    col[0] = 5
    with pytest.raises(InvalidGraphError, match="node 5"):
        checked_copy(rowptr, col, 2)
    col[0] = 0
    checked_copy(rowptr, col, 2)
    rowptr[1] = 7
    with pytest.raises(InvalidGraphError, match="descends"):
        checked_copy(rowptr, col, 2)


def test_a_proof_holds_for_one_pair_of_tensors_only() -> None:
    rowptr, col = csr([0, 1, 2], [0, 1])
    checked_copy(rowptr, col, 2)
    with pytest.raises(InvalidGraphError, match="from 0 to 9"):
        checked_copy(csr([0, 1, 9], [])[0], col, 2)


def test_inference_tensors_are_checked_each_time() -> None:
    with torch.inference_mode():
        rowptr, col = csr([0, 1, 2], [0, 1])
        checked_copy(rowptr, col, 2)
        col[1] = 2
        with pytest.raises(InvalidGraphError, match="node 2"):
            checked_copy(rowptr, col, 2)


def test_graphs_that_were_checked_can_be_copied_and_stored(tmp_path: Path) -> None:
    rowptr, col = csr([0, 1, 2], [0, 1])
    checked_copy(rowptr, col, 2)
    torch.save((rowptr, col), tmp_path / "graph.pt")
    copied = copy.deepcopy(col)
    copied[0] = 7
    with pytest.raises(InvalidGraphError, match="node 7"):
        checked_copy(rowptr, copied, 2)


def test_other_memory_is_looked_through() -> None:
    rowptr, col = csr([0, 1, 2], [0, 1])
    checked_copy(rowptr, col, 2)
    col.data = torch.tensor([0, 9], dtype=torch.int32)
    with pytest.raises(InvalidGraphError, match="node 9"):
        checked_copy(rowptr, col, 2)


def test_writes_that_torch_does_not_record_are_seen_by_the_check_of_every_call() -> None:
    rowptr, col = csr([0, 1, 2], [0, 1])
    check_indices(rowptr, col, 2)
    col.numpy()[1] = 4
    with pytest.raises(InvalidGraphError, match="node 4"):
        check_indices(rowptr, col, 2)
    check_indices(rowptr, col.data.clamp_(max=1), 2)
    rowptr.data[1] = 3
    with pytest.raises(InvalidGraphError, match="descends"):
        check_indices(rowptr, col, 2)


def test_a_copy_keeps_what_was_checked() -> None:
    rowptr, col = csr([0, 1, 2], [0, 1])
    copied = checked_copy(rowptr, col, 2)
    col.data[0] = 2**31 - 1  # not recorded by torch
    assert checked_copy(rowptr, col, 2) is copied
    assert copied.tolist() == [0, 1]
