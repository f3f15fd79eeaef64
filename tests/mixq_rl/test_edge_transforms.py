"""Transforms of edges give what PyTorch Geometric's functions give."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric import utils
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from mixq_rl.edge_transforms import (
    AddSelfLoops,
    Coalesce,
    DropEdges,
    Edges,
    EdgeTransform,
    Normalize,
    RemoveSelfLoops,
    ToUndirected,
)
from mixq_rl.errors import InvalidGraphError
from mixq_rl.graph import Graph
from mixq_rl.propagation import Propagation

PAIRS: list[tuple[EdgeTransform, Callable[[Tensor, Any, int], Any]]] = [
    (AddSelfLoops(0.5), lambda e, w, n: utils.add_self_loops(e, w, 0.5, n)),
    (AddSelfLoops(every_node=False), lambda e, w, n: utils.add_self_loops(e, w)),
    (AddSelfLoops(2.0, remaining=True), lambda e, w, n: utils.add_remaining_self_loops(e, w, 2.0, n)),
    (RemoveSelfLoops(), lambda e, w, n: utils.remove_self_loops(e, w)),
    *((Coalesce(how), lambda e, w, n, how=how: utils.coalesce(e, w, n, how)) for how in ("add", "mean", "min", "mul")),
    (ToUndirected("max"), lambda e, w, n: utils.to_undirected(e, w, n, "max")),
    (Normalize(), lambda e, w, n: gcn_norm(e, w, n, dtype=torch.float64)),
    (Normalize(None), lambda e, w, n: gcn_norm(e, w, n, add_self_loops=False, dtype=torch.float64)),
    (Normalize(2.0), lambda e, w, n: gcn_norm(e, w, n, improved=True, dtype=torch.float64)),
]


def in_order(index: Tensor, weight: Tensor | None) -> list[tuple[float, ...]]:
    weights = torch.ones(index.shape[1], dtype=torch.float64) if weight is None else weight.double()
    return sorted((*map(int, pair), round(float(value), 9)) for pair, value in zip(index.t(), weights, strict=True))


@given(st.integers(2, 12), st.integers(0, 30), st.integers(0, 1000), st.booleans(), st.sampled_from(PAIRS))
def test_the_same_edges_and_weights(
    nodes: int, edges: int, seed: int, weighted: bool, pair: tuple[EdgeTransform, Callable[..., Any]]
) -> None:
    transform, theirs = pair
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(nodes, (2, edges), generator=generator)
    weight = torch.rand(edges, generator=generator, dtype=torch.float64) + 0.1 if weighted else None
    expected = in_order(*theirs(index, weight, nodes))
    assert in_order(*transform(Edges(index, weight), nodes)) == expected


def test_what_is_drawn() -> None:
    index = torch.tensor([[0, 1, 1, 2, 3], [1, 0, 2, 1, 3]])
    graph = Graph(index, 4)
    dropping = Propagation(transforms=(DropEdges(0.5),))
    assert dropping.is_random
    assert dropping.evaluated == Propagation()
    assert graph.adjacency(dropping) is graph.adjacency(dropping)
    with_loops = Propagation(self_loops="add", transforms=(DropEdges(0.5),))
    assert graph.adjacency(with_loops).csr.col.numel() == graph.adjacency(dropping).csr.col.numel() + 4
    drawn = {graph.redrawn().adjacency(dropping).csr.col.numel() for _ in range(30)}
    assert len(drawn) > 1
    assert graph.redrawn().adjacency(Propagation()) is graph.adjacency(Propagation())
    undirected = DropEdges(0.5, undirected=True)(Edges(index, None), 4).edge_index
    assert sorted(map(tuple, undirected.t().tolist())) == sorted(map(tuple, undirected.flip(0).t().tolist()))


def test_a_negative_degree_has_no_normalization() -> None:
    edges = Edges(torch.tensor([[0, 1, 2], [1, 2, 1]]), torch.tensor([0.5, 1.0, -2.0], dtype=torch.float64))
    assert gcn_norm(*edges, 3)[1].isnan().any()
    with pytest.raises(InvalidGraphError, match=r"the weights of the edges into node 1 add up to -0\.5, and normalis"):
        Normalize()(edges, 3)


def test_transforms_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="reduction 'middle' is not among add"):
        Coalesce("middle")
    with pytest.raises(ValueError, match="weight nan"):
        AddSelfLoops(float("nan"))
    with pytest.raises(ValueError, match="weight inf"):
        Normalize(float("inf"))
