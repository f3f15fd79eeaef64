from dataclasses import replace

import pytest
import torch
import torch_geometric.nn

from mixq_rl.datasets import GraphTask
from mixq_rl.metering import OpMeter
from mixq_rl.nn import GCNConv, build_model
from mixq_rl.propagation import Propagation
from tests.mixq_rl.nn.networks import FEATURES, KINDS, check_layer, features, make_graph, network, real


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(
    ("options", "propagation"),
    [
        ({}, Propagation("symmetric", "remaining", weighted=True)),
        ({"improved": True}, Propagation("symmetric", "remaining", 2.0, weighted=True)),
        ({"add_self_loops": False}, Propagation("symmetric", "keep", weighted=True)),
        ({"normalize": False}, Propagation("none", "keep", weighted=True)),
    ],
)
def test_float_forward_equals_pytorch_geometric(
    relu: bool, weighted: bool, options: dict[str, bool], propagation: Propagation
) -> None:
    propagation = replace(propagation, weighted=weighted)
    conv = GCNConv(FEATURES, 8, name="conv1", relu=relu, propagation=propagation)
    torch.nn.init.normal_(conv.propagate.bias)
    theirs = torch_geometric.nn.GCNConv(FEATURES, 8, **options)
    theirs.lin.weight.data = conv.linear.weight.detach().t().clone()
    theirs.bias.data = conv.propagate.bias.detach().clone()
    graph = make_graph(weighted=weighted)
    expected = theirs(features(graph), graph.edge_index, graph.edge_weight)
    got = real(conv, features(graph), graph)
    torch.testing.assert_close(got, expected.relu() if relu else expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("relu", [True, False])
def test_integers_equal_fake_quantization(kind: str, weighted: bool, relu: bool) -> None:
    propagation = Propagation("symmetric", "remaining", weighted=weighted)
    layer = GCNConv(FEATURES, 5, name="conv1", relu=relu, propagation=propagation)
    check_layer(layer, kind, weighted=weighted, count=50 if relu else 10)


def test_layer_without_bias(task: GraphTask) -> None:
    conv = GCNConv(FEATURES, 5, name="conv1", bias=False)
    assert not any(name.endswith("bias") for name, _ in conv.named_parameters())
    check_layer(conv, "node")


def test_two_layers_have_the_nine_components_of_the_design(task: GraphTask) -> None:
    model = build_model("gcn", task, hidden_channels=16)
    assert [component.name for component in model.components] == [
        "conv1.input",
        "conv1.weight",
        "conv1.message",
        "conv1.adjacency",
        "conv1.aggregate",
        "conv2.weight",
        "conv2.message",
        "conv2.adjacency",
        "conv2.aggregate",
    ]
    assert [component.layer for component in model.components] == [0] * 5 + [1] * 4


def test_components_count_the_multiply_accumulates_they_take_part_in(task: GraphTask) -> None:
    model = build_model("gcn", task, hidden_channels=16)
    macs = {component.name: component.macs for component in model.components}
    nodes, features, classes = task.num_nodes, task.num_features, task.num_classes
    loops = int((task.edge_index[0] == task.edge_index[1]).sum())
    edges = task.edge_index.shape[1] - loops + nodes
    product, second = nodes * features * 16, nodes * 16 * classes
    assert macs["conv1.input"] == macs["conv1.weight"] == product
    assert macs["conv1.message"] == product + edges * 16
    assert macs["conv1.adjacency"] == edges * 16
    assert macs["conv1.aggregate"] == edges * 16 + second
    assert macs["conv2.aggregate"] == edges * classes


@pytest.mark.parametrize("num_layers", [1, 3])
def test_depth_is_free(task: GraphTask, num_layers: int) -> None:
    model = build_model("gcn", task, hidden_channels=8, num_layers=num_layers)
    assert len(model.components) == 5 + 4 * (num_layers - 1)
    assert model(task.x, task.edge_index).shape == (task.num_nodes, task.num_classes)


def test_float_execution_is_metered_at_32_bits(task: GraphTask) -> None:
    model = build_model("gcn", task, hidden_channels=8)
    with torch.no_grad(), OpMeter() as meter:
        model(task.x, task.edge_index)
    assert meter.bitops("linear") == 32 * meter.operations
    assert {record.kind for record in meter.records} == {"linear", "aggregate"}
    assert len(meter.records) == 4


def test_weights_are_drawn_anew() -> None:
    model = network(GCNConv(FEATURES, 5, name="conv1"))
    before = [parameter.clone() for parameter in model.parameters()]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7)
    torch.manual_seed(0)
    model.reset_parameters()
    for parameter, was in zip(model.parameters(), before, strict=True):
        assert parameter.shape == was.shape
        assert bool((parameter.abs() < 7).all())
