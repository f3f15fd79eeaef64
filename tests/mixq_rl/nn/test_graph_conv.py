import pytest
import torch
import torch_geometric.nn

from mixq_rl.errors import InputError
from mixq_rl.nn import GraphConv
from mixq_rl.nn.rooted import Aggregation
from tests.mixq_rl.nn.networks import FEATURES, KINDS, check_layer, features, make_graph, network, real
from tests.pairwise import pairwise


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(
    ("aggregation", "weighted"), [("sum", True), ("sum", False), ("mean", True), ("mean", False), ("max", False)]
)
@pytest.mark.parametrize("bias", [True, False])
def test_float_forward_equals_pytorch_geometric(
    aggregation: Aggregation, weighted: bool, bias: bool, relu: bool
) -> None:
    conv = GraphConv(FEATURES, 8, name="conv1", aggregation=aggregation, weighted=weighted, bias=bias, relu=relu)
    theirs = torch_geometric.nn.GraphConv(FEATURES, 8, aggr=aggregation, bias=bias)
    assert conv.root is not None
    theirs.lin_rel.weight.data = conv.linear.weight.detach().t().clone()
    theirs.lin_root.weight.data = conv.root.weight.detach().t().clone()
    if bias:
        theirs.lin_rel.bias.data = torch.nn.init.normal_(conv.last.bias).detach().clone()
    graph = make_graph(weighted=weighted)
    expected = theirs(features(graph), graph.edge_index, graph.edge_weight)
    got = real(conv, features(graph), graph)
    torch.testing.assert_close(got, expected.relu() if relu else expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "aggregation", "weighted", "relu"),
    pairwise(KINDS, ("mean", "sum", "max"), (True, False), (True, False)),
)
def test_integers_equal_fake_quantization(kind: str, aggregation: Aggregation, weighted: bool, relu: bool) -> None:
    weighted = weighted and aggregation != "max"
    layer = GraphConv(FEATURES, 5, name="conv1", aggregation=aggregation, weighted=weighted, relu=relu)
    check_layer(layer, kind, count=10, weighted=weighted)


def test_components() -> None:
    graph = make_graph(weighted=True)
    components = network(GraphConv(FEATURES, 5, name="conv1", weighted=True)).observe(features(graph), graph)
    parts = ["weight", "message", "adjacency", "aggregate", "root_weight", "root", "update"]
    assert [component.name for component in components] == ["net.input", *(f"conv1.{part}" for part in parts)]


def test_a_maximum_of_weighted_neighbours_is_refused() -> None:
    with pytest.raises(InputError, match="layer 'conv1' takes the maximum of weighted neighbours: use the sum"):
        GraphConv(FEATURES, 5, name="conv1", aggregation="max", weighted=True)
