"""Edges in blocks of rows, against the same rows of whole matrices."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mixq_rl import Graph, row_blocks
from mixq_rl.edge_transforms import ToUndirected
from mixq_rl.errors import InputError, InvalidGraphError
from mixq_rl.propagation import NORMALIZATIONS, SELF_LOOPS, Propagation
from mixq_rl.row_blocks import EdgeRows, GraphBlock

CPU = torch.device("cpu")


def rows_of(edges: EdgeRows, propagation: Propagation, cuts: list[int]) -> list[Tensor]:
    """Return the dense rows of an adjacency, of one block after another, with their scales."""
    found = []
    for first, last in pairwise(cuts):
        adjacency = GraphBlock(edges, range(first, last), CPU).adjacency(propagation)
        csr = adjacency.csr
        assert csr.first_row == first
        dense = torch.zeros(last - first, edges.num_nodes, dtype=torch.float64)
        dense.index_put_((csr.row, csr.col.long()), adjacency.value, accumulate=True)
        if propagation.self_loops != "keep":
            assert torch.equal(csr.target[adjacency.loops], torch.arange(first, last))
            assert torch.equal(csr.col[adjacency.loops].long(), torch.arange(first, last))
        found.append(dense if adjacency.row_scale is None else dense * adjacency.row_scale)
    return found


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("self_loops", SELF_LOOPS)
@given(data=st.data())
def test_blocks_are_rows_of_the_whole_matrix(native: bool, self_loops: str, data: st.DataObject) -> None:
    nodes = data.draw(st.integers(1, 9))
    node = st.integers(0, nodes - 1)
    pairs = data.draw(st.lists(st.tuples(node, node), max_size=30))
    edge_index = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t()
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 9)))
    weight = torch.rand(len(pairs), generator=generator) if data.draw(st.booleans()) else None
    propagation = Propagation(data.draw(st.sampled_from(NORMALIZATIONS)), self_loops, 0.5, weighted=weight is not None)
    whole = Graph(edge_index, nodes, edge_weight=weight).adjacency(propagation)
    dense = torch.zeros(nodes, nodes, dtype=torch.float64)
    dense.index_put_((whole.csr.row, whole.csr.col.long()), whole.value, accumulate=True)
    dense = dense if whole.row_scale is None else dense * whole.row_scale
    cuts = sorted({0, nodes, *data.draw(st.lists(node, max_size=4))})
    with pytest.MonkeyPatch.context() as patch:
        if not native:
            patch.setattr(row_blocks, "extension", lambda: None)
        found = rows_of(EdgeRows.of(edge_index, nodes, weight), propagation, cuts)
    assert torch.equal(torch.cat(found), dense)


@given(st.lists(st.integers(0, 6), max_size=30), st.integers(1, 9), st.integers(1, 12))
def test_blocks_cover_all_rows_within_the_limits(counts: list[int], most_rows: int, most_edges: int) -> None:
    rowptr = torch.tensor([0, *counts]).cumsum(0)
    edges = EdgeRows(rowptr, torch.zeros(int(rowptr[-1]), dtype=torch.int32))
    blocks = list(edges.blocks(most_rows, most_edges))
    assert [row for rows in blocks for row in rows] == list(range(len(counts)))
    for rows in blocks:
        assert 1 <= len(rows) <= most_rows
        assert len(rows) == 1 or sum(counts[row] for row in rows) <= most_edges


def test_a_graph_of_the_user_is_not_written_to() -> None:
    rowptr, col = torch.tensor([0, 1, 3]), torch.tensor([0, 0, 1], dtype=torch.int32)
    edges = EdgeRows(rowptr, col)
    found = edges.rows(range(2), Propagation())
    found.csr.col.fill_(7)
    assert col.tolist() == [0, 0, 1]


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(
    ("rowptr", "col", "reason"),
    [
        ([0, 3, 2], [0, 1], "rowptr does not ascend"),
        ([0, -1, 2], [0, 1], "rowptr does not ascend"),
        ([0, 1, 2], [0, 2], r"names node 2.*nodes 0\.\.\.1"),
        ([0, 1, 2], [0, -1], "names node -1"),
    ],
)
@pytest.mark.parametrize("self_loops", SELF_LOOPS)
def test_what_is_no_graph_is_refused_when_it_is_read(
    native: bool, rowptr: list[int], col: list[int], reason: str, self_loops: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not native:
        monkeypatch.setattr(row_blocks, "extension", lambda: None)
    edges = EdgeRows(torch.tensor(rowptr), torch.tensor(col, dtype=torch.int32))
    with pytest.raises(InvalidGraphError, match=reason):
        edges.rows(range(2), Propagation(self_loops=self_loops))


@pytest.mark.parametrize(
    ("rowptr", "col", "weight", "reason"),
    [
        (torch.zeros(2, dtype=torch.int32), torch.zeros(0, dtype=torch.int32), None, "rowptr must be torch.int64"),
        (torch.zeros(2, dtype=torch.int64), torch.zeros(0), None, "col must be torch.int32"),
        (torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int32), None, "rowptr has 0 entries"),
        (torch.zeros(2, dtype=torch.int64), torch.zeros(0, dtype=torch.int32), torch.ones(1), "one for each edge"),
        (torch.tensor([0, 1, 3]), torch.zeros(2, dtype=torch.int32), None, "from 0 to 3: it must go from 0 to.* 2"),
        (torch.tensor([1, 2]), torch.zeros(2, dtype=torch.int32), None, "from 1 to 2: it must go from 0"),
        (torch.tensor([0, 1]), torch.zeros(2, dtype=torch.int32), None, "from 0 to 1: it must go from 0 to.* 2"),
    ],
)
def test_other_forms_are_refused(rowptr: Tensor, col: Tensor, weight: Tensor | None, reason: str) -> None:
    with pytest.raises(InvalidGraphError, match=reason):
        EdgeRows(rowptr, col, weight)


def test_weights_that_are_no_numbers_and_other_propagations_are_refused() -> None:
    edges = EdgeRows.of(torch.tensor([[0], [1]]), 2, torch.tensor([1.0]))
    assert edges.weighted
    assert not edges.unweighted().weighted
    wrong = EdgeRows(torch.tensor([0, 1]), torch.zeros(1, dtype=torch.int32), torch.tensor([torch.nan]))
    with pytest.raises(InvalidGraphError, match="NaN"):
        wrong.rows(range(1), Propagation(weighted=True))
    for other in (Propagation(pooled=True), Propagation(transforms=(ToUndirected("add"),))):
        with pytest.raises(InputError, match="block by block"):
            edges.rows(range(2), other)
    negative = EdgeRows.of(torch.tensor([[0], [1]]), 2, torch.tensor([-1.0]))
    with pytest.raises(InvalidGraphError, match="into node 1 add up to -1"):
        GraphBlock(negative, range(1, 2), CPU).adjacency(Propagation("symmetric", weighted=True), "conv")
