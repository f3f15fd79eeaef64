import pytest
import torch
import torch_geometric.nn

from mixq_rl import IntegerModel
from mixq_rl.metering import OpMeter
from mixq_rl.nn import GATConv
from tests.mixq_rl.nn.networks import FEATURES, KINDS, calibrated, check_layer, features, make_graph, network, real
from tests.pairwise import pairwise


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("concat", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_float_forward_equals_pytorch_geometric(heads: int, concat: bool, bias: bool, relu: bool) -> None:
    conv = GATConv(FEATURES, 4, name="conv1", heads=heads, concat=concat, negative_slope=0.1, bias=bias, relu=relu)
    theirs = torch_geometric.nn.GATConv(FEATURES, 4, heads=heads, concat=concat, negative_slope=0.1, bias=bias)
    theirs.lin.weight.data = conv.linear.weight.detach().t().clone()
    own = conv.score.weight.detach()
    theirs.att_src.data = own[:, :heads].t().reshape(1, heads, 4).clone()
    theirs.att_dst.data = own[:, heads:].t().reshape(1, heads, 4).clone()
    if bias:
        theirs.bias.data = torch.nn.init.normal_(conv.attend.bias).detach().clone()
    graph = make_graph()
    expected = theirs(features(graph), graph.edge_index)
    got = real(conv, features(graph), graph)
    torch.testing.assert_close(got, expected.relu() if relu else expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("heads", "kind", "concat", "relu"), pairwise((1, 2, 3), KINDS, (True, False), (True, False)))
def test_integers_equal_fake_quantization(heads: int, kind: str, concat: bool, relu: bool) -> None:
    channels = {1: 5, 2: 4, 3: 3}[heads]
    layer = GATConv(FEATURES, channels, name="conv1", heads=heads, concat=concat, relu=relu)
    check_layer(layer, kind, count=50 if relu and heads == 3 else 10)


def test_components() -> None:
    model, graph = network(GATConv(FEATURES, 4, name="conv1", heads=2)), make_graph()
    components = model.observe(features(graph), graph)
    parts = ["weight", "message", "attention_weight", "score", "logit", "attention", "aggregate"]
    assert [component.name for component in components] == ["net.input", *(f"conv1.{part}" for part in parts)]
    kinds = ["input", "weight", "message", "weight", "attention", "attention", "attention", "aggregate"]
    assert [component.kind for component in components] == kinds


def test_dropout_thins_out_the_coefficients_in_training_only() -> None:
    graph = make_graph()
    model = network(GATConv(FEATURES, 4, name="conv1", dropout=0.5))
    calibrated(model, features(graph), graph).float()
    for allocation in (None, [8] * len(model.quantizers)):
        with model.allocated(allocation), torch.no_grad():
            model.train()
            assert not torch.equal(model(features(graph), graph), model(features(graph), graph))
            model.eval()
            assert torch.equal(model(features(graph), graph), model(features(graph), graph))


def test_float_and_integer_execution_record_the_same_operations() -> None:
    graph, x = make_graph(), features(make_graph())
    model = calibrated(network(GATConv(FEATURES, 4, name="conv1", heads=2)), x, graph)
    frozen = IntegerModel.freeze(model, [4] * len(model.quantizers))
    with OpMeter() as meter, torch.no_grad():
        model(x.double(), graph)
    with OpMeter() as integer_meter:
        frozen.execute(frozen.quantize_features(x), frozen.quantize_graph(graph))
    shapes = [(record.kind, record.shape) for record in meter.records]
    assert shapes == [(record.kind, record.shape) for record in integer_meter.records]
    edges = int((graph.edge_index[0] != graph.edge_index[1]).sum()) + graph.num_nodes
    nodes = graph.num_nodes
    assert shapes == [("linear", (nodes, FEATURES, 8)), ("linear", (nodes, 4, 4)), ("aggregate", (nodes, edges, 8))]
    assert {record.left_bits for record in integer_meter.records} == {4}
    assert all(record.bytes > 0 for record in integer_meter.records)
