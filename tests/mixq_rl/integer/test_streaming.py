"""Execution block by block gives the logits and the operations of whole graphs."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric.nn import GCNConv, GINConv, SAGEConv

import mixq_rl
from mixq_rl import row_blocks
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError, InvalidGraphError, SumOverflowError
from mixq_rl.integer.streaming import stream
from mixq_rl.nn.architectures import models
from mixq_rl.quantization import schemes
from mixq_rl.row_blocks import EdgeRows
from mixq_rl.training.preparation import prepare_calibrated
from tests.conftest import make_classified_graphs, make_task

pytestmark = pytest.mark.usefixtures("seeded")


def frozen(
    model: mixq_rl.QuantizableModel, task: GraphTask, bits: int = 4, scheme: str = "lsq"
) -> mixq_rl.IntegerModel:
    prepared = prepare_calibrated(model, task, (bits,), scheme=schemes[scheme])
    return mixq_rl.IntegerModel.freeze(prepared.model, [bits] * len(prepared.model.quantizers))


def streamed(
    network: mixq_rl.IntegerModel, x: Tensor, edge_index: Tensor, weight: Tensor | None = None, **most: int
) -> Tensor:
    parts = list(stream(network, x, EdgeRows.of(edge_index, len(x), weight), **most))
    assert [row for rows, _ in parts for row in rows] == list(range(len(x)))
    return torch.cat([logits for _, logits in parts]) if parts else x.new_zeros(0)


@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("name", list(models))
def test_logits_and_operations_are_those_of_the_whole_graph(name: str, bits: int) -> None:
    task = make_task()
    network = frozen(mixq_rl.build_model(name, task, hidden_channels=16), task, bits)
    with mixq_rl.OpMeter() as whole:
        expected = network(task.x, task.edge_index)
    with mixq_rl.OpMeter() as meter:
        found = streamed(network, task.x, task.edge_index, most_rows=37)
    assert torch.equal(found, expected)
    assert meter.bitops("product") == whole.bitops("product")
    assert torch.equal(streamed(network, task.x, task.edge_index, most_edges=1), expected)


@pytest.mark.parametrize("name", ["gcn", "sage", "gat"])
def test_scales_of_single_nodes_belong_to_their_blocks(name: str) -> None:
    task = make_task()
    network = frozen(mixq_rl.build_model(name, task, hidden_channels=16), task, scheme="a2q")
    assert any(signature.has_row for signature in network.signatures)
    assert torch.equal(streamed(network, task.x, task.edge_index, most_rows=40), network(task.x, task.edge_index))


class Jumping(nn.Module):
    """Takes the results of all layers together, so that a later pass takes what earlier ones computed."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = SAGEConv(40, 8), GCNConv(8, 8), GINConv(nn.Linear(8, 8))
        self.last = nn.Linear(24, 3)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        first = self.first(x, edge_index).relu()
        second = self.second(first, edge_index).relu() + first
        third = self.third(second, edge_index).relu()
        result: Tensor = self.last(torch.cat([first, second, third], dim=1))
        return result


def test_layers_that_are_skipped() -> None:
    task = make_task()
    network = frozen(mixq_rl.prepare(Jumping(), task), task)
    with mixq_rl.OpMeter() as whole:
        expected = network(task.x, task.edge_index)
    with mixq_rl.OpMeter() as meter:
        assert torch.equal(streamed(network, task.x, task.edge_index, most_rows=20), expected)
    assert meter.bitops("product") == whole.bitops("product")


class Weighted(nn.Module):
    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        result: Tensor = self.conv(x, edge_index, edge_weight)
        return result


@cache
def weighted_network(loops: bool, normalize: bool) -> mixq_rl.IntegerModel:
    task = make_task()
    weight = torch.linspace(0.1, 1, task.edge_index.shape[1])
    task = GraphTask("weighted", task.x, task.edge_index, task.y, task.masks, edge_weight=weight)
    torch.manual_seed(0)
    conv = GCNConv(40, 3, add_self_loops=loops and normalize, normalize=normalize)
    return frozen(mixq_rl.prepare(Weighted(conv), task), task)


@settings(deadline=None)
@given(data=st.data())
def test_any_graph_in_any_blocks(data: st.DataObject) -> None:
    nodes = data.draw(st.integers(1, 12))
    node = st.integers(0, nodes - 1)
    pairs = data.draw(st.lists(st.tuples(node, node), max_size=40))
    edge_index = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t()
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 9)))
    weight = torch.rand(len(pairs), generator=generator) + 0.1 if data.draw(st.booleans()) else None
    x = torch.randn(nodes, 40, generator=generator)
    network = weighted_network(data.draw(st.booleans()), data.draw(st.booleans()))
    most = {"most_rows": data.draw(st.integers(1, 13)), "most_edges": data.draw(st.integers(1, 50))}
    assert torch.equal(streamed(network, x, edge_index, weight, **most), network(x, edge_index, weight))


def test_without_the_extension_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task()
    network = frozen(mixq_rl.build_model("gcn", task, hidden_channels=16), task)
    expected = network(task.x, task.edge_index)
    monkeypatch.setattr(row_blocks, "extension", lambda: None)
    assert torch.equal(streamed(network, task.x, task.edge_index, most_rows=37), expected)


def test_no_node_is_no_block() -> None:
    task = make_task()
    network = frozen(mixq_rl.build_model("gcn", task, hidden_channels=16), task)
    assert not list(stream(network, task.x[:0], EdgeRows.of(task.edge_index[:, :0], 0)))


def test_a_hub_is_named_by_its_number() -> None:
    task = make_task()
    network = frozen(mixq_rl.build_model("gin", task, hidden_channels=16), task, bits=8)
    hub = torch.full((2, 2**24), 140)
    with pytest.raises(SumOverflowError, match="neighbours of node 140"):
        streamed(network, task.x, hub, most_rows=100)


def test_other_networks_and_features_are_refused() -> None:
    graphs, task = make_classified_graphs(), make_task()
    pooling = frozen(mixq_rl.build_model("gin", graphs, hidden_channels=8), graphs)
    with pytest.raises(InputError, match="classifies graphs"):
        streamed(pooling, graphs.x, graphs.edge_index)
    network = frozen(mixq_rl.build_model("gcn", task, hidden_channels=16), task)
    edges = EdgeRows.of(task.edge_index, task.num_nodes)
    with pytest.raises(InvalidGraphError, match=r"x has shape \[149, 40\].*150 nodes"):
        stream(network, task.x[1:], edges)
    with pytest.raises(InputError, match="at least one node"):
        stream(network, task.x, edges, most_rows=0)
    with pytest.raises(InputError, match="39 features"):
        next(stream(network, task.x[:, 1:], edges))
