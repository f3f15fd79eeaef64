import pytest
import torch
from torch import nn

from mixq_rl.nn import INPUT, Linear, Node, QuantizableModel
from mixq_rl.sparse import SparseMatrix
from tests.mixq_rl.nn.networks import (
    FEATURES,
    KINDS,
    calibrated,
    check_equal,
    check_layer,
    features,
    make_graph,
    network,
    random_allocations,
    real,
)
from tests.pairwise import pairwise


def make_layer(*, bias: bool = True, normed: bool = False, relu: bool = False, outputs: int = 5) -> Linear:
    norm = nn.BatchNorm1d(outputs) if normed else None
    return Linear(FEATURES, outputs, names=("lin.weight", "lin.output"), bias=bias, norm=norm, relu=relu)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("relu", [True, False])
def test_float_forward_is_that_of_torch(bias: bool, normed: bool, relu: bool, training: bool) -> None:
    layer, graph = make_layer(bias=bias, normed=normed, relu=relu), make_graph()
    calibrated(network(layer), features(graph), graph).float()
    layer.train(training)
    parts: list[nn.Module] = [nn.Linear(FEATURES, 5, bias=bias)]
    parts[0].load_state_dict({"weight": layer.weight.t(), **({"bias": layer.bias} if bias else {})})
    if layer.norm is not None:
        parts.append(nn.BatchNorm1d(5))
        parts[1].load_state_dict(layer.norm.state_dict())
    parts += [nn.ReLU()] if relu else []
    theirs = nn.Sequential(*parts).train(training)
    got, expected = real(layer, features(graph)), theirs(features(graph))
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    if layer.norm is not None:
        torch.testing.assert_close(layer.norm.running_mean, theirs[1].running_mean)
        torch.testing.assert_close(layer.norm.running_var, theirs[1].running_var)


def test_a_forward_hook_replaces_the_weight_before_the_norm() -> None:
    layer, graph = make_layer(normed=True), make_graph()
    calibrated(network(layer), features(graph), graph).float()
    expected = real(layer, features(graph))
    with layer.weight_quantizer.register_forward_hook(lambda module, inputs, weight: weight.clone()):
        assert torch.equal(real(layer, features(graph)), expected)
    with layer.weight_quantizer.register_forward_hook(lambda module, inputs, weight: torch.zeros_like(weight)):
        expected = layer.norm(layer.bias.expand_as(expected))
        torch.testing.assert_close(real(layer, features(graph)), expected)


def test_sparse_features_give_the_same() -> None:
    layer, x = make_layer(), features(make_graph()).relu()
    torch.testing.assert_close(real(layer, SparseMatrix.from_dense(x)), real(layer, x))


@pytest.mark.parametrize(
    ("kind", "normed", "bias", "relu"), pairwise(KINDS, (True, False), (True, False), (True, False))
)
def test_integers_equal_fake_quantization(kind: str, bias: bool, normed: bool, relu: bool) -> None:
    check_layer(make_layer(bias=bias, normed=normed, relu=relu), kind, count=50 if bias and normed else 10)


def test_integers_equal_fake_quantization_of_a_deep_network() -> None:
    graph, nodes, source = make_graph(), [], INPUT
    for index in range(4):
        norm = nn.BatchNorm1d(FEATURES) if index % 2 else None
        names = (f"lin{index}.weight", f"lin{index}.output")
        layer = Linear(FEATURES, FEATURES, names=names, norm=norm, relu=index < 3)
        nodes.append(Node(f"lin{index}", layer, (source,)))
        source = f"lin{index}"
    model = calibrated(QuantizableModel(nodes, input_name="lin0.input"), features(graph), graph)
    check_equal(model, features(graph), graph, random_allocations(model, 50))
