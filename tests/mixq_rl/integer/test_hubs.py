"""Nodes of many neighbours in integer networks."""

import pytest
import torch

from mixq_rl import kernels
from mixq_rl.errors import SumOverflowError
from tests.mixq_rl.frozen import MODELS, frozen
from tests.mixq_rl.nn.networks import FEATURES, KINDS, make_graph, star

EDGES = make_graph().edge_index.shape[1]
NO_EDGES = torch.zeros(2, 0, dtype=torch.int64)

each_model = pytest.mark.parametrize("name", MODELS)
each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
def test_nodes_whose_sums_could_overflow_are_refused(kind: str) -> None:
    x, edge_index = torch.ones(2, FEATURES), torch.tensor([[1], [0]]).expand(2, 100_000)
    message = r"layer 'conv1\..*': the sum over the \d+ neighbours of node 0 may reach \d+, beyond int32; sample them"
    with pytest.raises(SumOverflowError, match=message):
        frozen("gin", kind, (8,))(x, edge_index)


@pytest.mark.parametrize("name", ["gcn", "sage", "tag"])
def test_nodes_whose_neighbours_weigh_little_are_executed(name: str) -> None:
    model, hub = frozen(name, "node", (8,)), star(100_000)  # entries of the hub are divided by the root of its degree
    x = torch.ones(hub.num_nodes, FEATURES)
    logits = model(x, hub.edge_index)
    with kernels.using("reference"):  # sums in int64
        assert torch.equal(logits, model(x, hub.edge_index))


@pytest.mark.parametrize("name", ["gcn", "gin", "gat", "tag"])
def test_the_largest_hub_that_is_taken_does_not_wrap(name: str) -> None:
    model = frozen(name, "node", (8,))
    taken, refused = 0, 100_000
    while refused - taken > 1:
        middle = (taken + refused) // 2
        try:
            model.quantize_graph(star(middle))
            taken = middle
        except SumOverflowError:
            refused = middle
    assert taken > 10_000
    for sign in (1, -1):
        x, edge_index = torch.full((taken + 1, FEATURES), sign * 3.0), star(taken).edge_index
        logits = model(x, edge_index)
        with kernels.using("reference"):  # sums in int64
            assert torch.equal(logits, model(x, edge_index))
