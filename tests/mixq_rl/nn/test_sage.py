from typing import Literal

import pytest
import torch
import torch_geometric.nn

from mixq_rl.nn import SAGEConv
from tests.mixq_rl.nn.networks import FEATURES, KINDS, check_layer, features, make_graph, network, real
from tests.pairwise import pairwise

Aggregation = Literal["mean", "sum"]


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("aggregation", ["mean", "sum"])
@pytest.mark.parametrize("root_weight", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_float_forward_equals_pytorch_geometric(
    aggregation: Aggregation, root_weight: bool, bias: bool, relu: bool
) -> None:
    conv = SAGEConv(FEATURES, 8, name="conv1", aggregation=aggregation, root_weight=root_weight, bias=bias, relu=relu)
    theirs = torch_geometric.nn.SAGEConv(FEATURES, 8, aggr=aggregation, root_weight=root_weight, bias=bias)
    theirs.lin_l.weight.data = conv.linear.weight.detach().t().clone()
    if conv.root is not None:
        theirs.lin_r.weight.data = conv.root.weight.detach().t().clone()
    if bias:
        own = conv.propagate.bias if conv.add is None else conv.add.bias
        theirs.lin_l.bias.data = torch.nn.init.normal_(own).detach().clone()
    graph = make_graph()
    expected = theirs(features(graph), graph.edge_index)
    got = real(conv, features(graph), graph)
    torch.testing.assert_close(got, expected.relu() if relu else expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "aggregation", "root_weight", "relu"), pairwise(KINDS, ("mean", "sum"), (True, False), (True, False))
)
def test_integers_equal_fake_quantization(kind: str, aggregation: Aggregation, root_weight: bool, relu: bool) -> None:
    layer = SAGEConv(FEATURES, 5, name="conv1", aggregation=aggregation, root_weight=root_weight, relu=relu)
    check_layer(layer, kind, count=50 if root_weight and relu else 10)


@pytest.mark.parametrize(
    ("root_weight", "parts"),
    [
        (True, ["weight", "message", "aggregate", "root_weight", "root", "update"]),
        (False, ["weight", "message", "aggregate"]),
    ],
)
def test_components(root_weight: bool, parts: list[str]) -> None:
    model = network(SAGEConv(FEATURES, 5, name="conv1", root_weight=root_weight))
    graph = make_graph()
    components = model.observe(features(graph), graph)
    assert [component.name for component in components] == ["net.input", *(f"conv1.{part}" for part in parts)]


def test_weights_are_drawn_anew() -> None:
    layer = SAGEConv(FEATURES, 5, name="conv1")
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(7)
    layer.reset_parameters()
    assert all(bool((parameter.abs() < 7).all()) for parameter in layer.parameters())
