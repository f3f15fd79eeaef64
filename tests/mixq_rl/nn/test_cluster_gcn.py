import pytest
import torch
import torch_geometric.nn

from mixq_rl.nn import ClusterGCNConv
from tests.mixq_rl.nn.networks import FEATURES, KINDS, check_layer, features, make_graph, network, real


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("diagonal", [0.0, 0.75])
@pytest.mark.parametrize("bias", [True, False])
def test_float_forward_equals_pytorch_geometric(diagonal: float, bias: bool, relu: bool) -> None:
    conv = ClusterGCNConv(FEATURES, 8, name="conv1", diagonal=diagonal, bias=bias, relu=relu)
    theirs = torch_geometric.nn.ClusterGCNConv(FEATURES, 8, diag_lambda=diagonal, bias=bias)
    assert conv.root is not None
    theirs.lin_out.weight.data = conv.linear.weight.detach().t().clone()
    theirs.lin_root.weight.data = conv.root.weight.detach().t().clone()
    if bias:
        theirs.lin_out.bias.data = torch.nn.init.normal_(conv.last.bias).detach().clone()
    graph = make_graph()
    expected = theirs(features(graph), graph.edge_index)
    got = real(conv, features(graph), graph)
    torch.testing.assert_close(got, expected.relu() if relu else expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("diagonal", [0.0, 0.75])
def test_integers_equal_fake_quantization(kind: str, diagonal: float) -> None:
    check_layer(ClusterGCNConv(FEATURES, 5, name="conv1", diagonal=diagonal, relu=True), kind, count=20)


@pytest.mark.parametrize("diagonal", [0.0, 0.75])
def test_components(diagonal: float) -> None:
    graph = make_graph()
    model = network(ClusterGCNConv(FEATURES, 5, name="conv1", diagonal=diagonal))
    components = model.observe(features(graph), graph)
    parts = ["weight", "message", *(["adjacency"] if diagonal else []), "aggregate", "root_weight", "root", "update"]
    assert [component.name for component in components] == ["net.input", *(f"conv1.{part}" for part in parts)]
