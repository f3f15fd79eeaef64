import pytest
import torch
from torch import Tensor

from mixq_rl.datasets.edge_entries import read_edge_index, read_edge_weight, weight_of_attributes
from mixq_rl.errors import InvalidGraphError

EDGES = torch.tensor([[0, 1, 2], [1, 2, 3]])


@pytest.mark.parametrize(
    ("edge_index", "said"),
    [
        (EDGES, ""),
        (EDGES.int(), ""),
        (EDGES.to(torch.uint8), ""),
        (EDGES.double(), "whole numbers as float64"),
        (EDGES.t(), r"[3, 2] was read as [2, 3]"),
        (EDGES.t().float(), "float32"),
    ],
)
def test_edges_in_another_form(edge_index: Tensor, said: str) -> None:
    notes: list[str] = []
    found = read_edge_index(edge_index, 4, notes)
    assert torch.equal(found, EDGES)
    assert found.dtype == torch.int64
    assert said in " ".join(notes)
    assert bool(notes) == bool(said)


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 2)])
def test_no_edges(shape: tuple[int, ...]) -> None:
    assert read_edge_index(torch.zeros(shape), 4, []).shape == (2, 0)


def test_what_later_checks_refuse_is_kept() -> None:
    assert read_edge_index(EDGES + 0.5, 4, []).is_floating_point()
    assert read_edge_index(torch.tensor([[0, 1], [1, 0]]), 4, []).tolist() == [[0, 1], [1, 0]]


def test_adjacency_matrices_and_counting_from_one_are_named() -> None:
    with pytest.raises(InvalidGraphError, match="is an adjacency matrix"):
        read_edge_index(torch.eye(4), 4, [])
    with pytest.raises(InvalidGraphError, match=r"numbers the nodes 1\.\.\.4: subtract 1"):
        read_edge_index(EDGES + 1, 4, [])


def test_weights() -> None:
    notes: list[str] = []
    assert read_edge_weight(torch.ones(3, 1, dtype=torch.float64), notes).shape == (3,)
    assert "was read as [3]" in notes[0]
    assert read_edge_weight(torch.ones(3, 2), []).shape == (3, 2)


@pytest.mark.parametrize("edge_attr", [torch.tensor([1, 2, 3]), torch.tensor([[1.0], [2.0], [3.0]])])
def test_one_positive_number_of_each_edge_is_its_weight(edge_attr: Tensor) -> None:
    notes: list[str] = []
    weight = weight_of_attributes(edge_attr, 3, notes)
    assert weight is not None
    assert weight.tolist() == [1, 2, 3]
    assert "was read as edge_weight" in notes[0]


@pytest.mark.parametrize(
    "edge_attr",
    [
        torch.tensor([1.0, 0.0, 1.0]),
        torch.tensor([1.0, -1.0, 1.0]),
        torch.tensor([1.0, float("nan"), 1.0]),
        torch.tensor([1.0, float("inf"), 1.0]),
        torch.ones(3, 4),
        torch.ones(4),
        torch.ones(1, 3),
        torch.zeros(0, 3),
    ],
)
def test_other_attributes_are_named(edge_attr: Tensor) -> None:
    notes: list[str] = []
    assert weight_of_attributes(edge_attr, 3, notes) is None
    assert len(notes) == 1
    assert "is not used" in notes[0]
