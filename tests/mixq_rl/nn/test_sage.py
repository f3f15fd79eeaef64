from pathlib import Path

import pytest
import torch
import torch_geometric.nn

from mixq_rl import IntegerModel, export_program
from mixq_rl.metering import OpMeter
from mixq_rl.nn import SAGEConv
from mixq_rl.nn.rooted import Aggregation
from tests.mixq_rl.nn.networks import FEATURES, KINDS, calibrated, check_layer, features, make_graph, network, real
from tests.pairwise import pairwise

AGGREGATIONS = ("mean", "sum", "max")


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
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
        theirs.lin_l.bias.data = torch.nn.init.normal_(conv.last.bias).detach().clone()
    graph = make_graph()
    expected = theirs(features(graph), graph.edge_index)
    got = real(conv, features(graph), graph)
    torch.testing.assert_close(got, expected.relu() if relu else expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "aggregation", "root_weight", "relu"), pairwise(KINDS, AGGREGATIONS, (True, False), (True, False))
)
def test_integers_equal_fake_quantization(kind: str, aggregation: Aggregation, root_weight: bool, relu: bool) -> None:
    layer = SAGEConv(FEATURES, 5, name="conv1", aggregation=aggregation, root_weight=root_weight, relu=relu)
    check_layer(layer, kind, count=50 if root_weight and relu else 10)


@pytest.mark.parametrize(
    ("aggregation", "root_weight", "parts"),
    [
        ("mean", True, ["weight", "message", "aggregate", "root_weight", "root", "update"]),
        ("mean", False, ["weight", "message", "aggregate"]),
        ("max", True, ["weight", "aggregate", "root_weight", "root", "update"]),
        ("max", False, ["weight", "aggregate"]),
    ],
)
def test_components(aggregation: Aggregation, root_weight: bool, parts: list[str]) -> None:
    model = network(SAGEConv(FEATURES, 5, name="conv1", aggregation=aggregation, root_weight=root_weight))
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


def test_the_maximum_is_recorded_as_an_aggregation_of_its_source() -> None:
    graph = make_graph()
    model = calibrated(network(SAGEConv(FEATURES, 5, name="conv1", aggregation="max")), features(graph), graph)
    frozen = IntegerModel.freeze(model, [3, 8, 8, 8, 8, 8])
    with OpMeter() as meter, torch.no_grad():
        model(features(graph).double(), graph)
    with OpMeter() as integer_meter:
        frozen.execute(frozen.quantize_features(features(graph)), frozen.quantize_graph(graph))
    edges = graph.edge_index.shape[1]
    for records, bits in ((meter.records, 32), (integer_meter.records, 3)):
        assert [record.kind for record in records] == ["aggregate", "linear", "linear"]
        assert records[0].shape == (graph.num_nodes, edges, FEATURES)
        assert (records[0].left_bits, records[0].right_bits, records[0].result_bits) == (None, bits, bits)
        assert records[0].bitops() == 2 * edges * FEATURES * bits


def test_an_exported_maximum_gives_the_same_logits(tmp_path: Path) -> None:
    graph = make_graph()
    model = calibrated(network(SAGEConv(FEATURES, 5, name="conv1", aggregation="max")), features(graph), graph)
    frozen = IntegerModel.freeze(model, [4] * len(model.quantizers))
    frozen.save(tmp_path)
    other = make_graph(40, seed=1)
    x = features(other, 1)
    expected = frozen(x, other.edge_index)
    assert torch.equal(IntegerModel.load(tmp_path)(x, other.edge_index), expected)
    assert torch.equal(export_program(frozen).module()(x, other.edge_index), expected)
