import pytest
import torch
import torch_geometric.nn

from mixq_rl.adjacency import Adjacency
from mixq_rl.datasets import GraphTask
from mixq_rl.metering import OpMeter
from mixq_rl.nn import GCN, GCNConv, build_model


@pytest.mark.parametrize("relu", [True, False])
def test_float_forward_equals_pytorch_geometric(task: GraphTask, relu: bool) -> None:
    conv = GCNConv(task.num_features, 8, name="conv1", relu=relu)
    torch.nn.init.normal_(conv.bias)
    theirs = torch_geometric.nn.GCNConv(task.num_features, 8)
    theirs.lin.weight.data = conv.weight.detach().t().clone()
    theirs.bias.data = conv.bias.detach().clone()
    # PyTorch Geometric keeps one self-loop where the graph has some; so do we.
    expected = theirs(task.x, task.edge_index)
    got = conv(task.x, Adjacency.gcn(task.edge_index, task.num_nodes))
    torch.testing.assert_close(got, expected.relu() if relu else expected, rtol=1e-5, atol=1e-6)


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
    edges = model.prepare_graph(task.edge_index, nodes).csr.col.numel()
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


@pytest.mark.parametrize(("hidden", "layers"), [(0, 2), (8, 0)])
def test_empty_networks_are_refused(hidden: int, layers: int) -> None:
    with pytest.raises(ValueError, match="both must be at least 1"):
        GCN(4, hidden, 3, num_layers=layers)
