import pytest
import torch
from torch import nn

from mixq_rl import IntegerModel
from mixq_rl.nn import INPUT, Add, Concatenate, Linear, Maximum, Node, QuantizableModel, mean_pool
from mixq_rl.nn.operator import Real
from tests.mixq_rl.nn.networks import (
    FEATURES,
    KINDS,
    ODD_GRAPHS,
    calibrated,
    check_equal,
    features,
    make_graph,
    random_allocations,
)
from tests.pairwise import pairwise

WIDTH = 5


def make_add(normed: bool, bias: bool, relu: bool) -> Add:
    norm = nn.BatchNorm1d(WIDTH) if normed else None
    return Add("join.update", bias_channels=WIDTH if bias else None, norm=norm, relu=relu)


def joined(join: nn.Module, kind: str = "node", sources: int = 2) -> QuantizableModel:
    """As many linear layers whose results, of very different scales, are joined."""
    nodes = []
    for index in range(sources):
        names = (f"lin{index}.weight", f"lin{index}.output")
        layer = Linear(FEATURES, WIDTH, names=names, kind="message", relu=index == 1)
        with torch.no_grad():
            layer.weight *= 10.0**-index
        nodes.append(Node(f"lin{index}", layer, (INPUT,)))
    nodes.append(Node("join", join, tuple(node.name for node in nodes)))
    if kind == "graph":
        nodes.append(Node("pool", mean_pool("pool.aggregate"), ("join",)))
    return QuantizableModel(nodes, input_name="net.input")


def check(join: nn.Module, kind: str, sources: int = 2, count: int = 10) -> None:
    graph = make_graph(graphs=5 if kind == "graph" else None)
    model = calibrated(joined(join, kind, sources), features(graph), graph)
    check_equal(model, features(graph), graph, random_allocations(model, count))
    for make in ODD_GRAPHS.values():
        check_equal(model, features(make(), seed=1), make(), random_allocations(model, 3, seed=1))


def values(*widths: int) -> list[Real]:
    generator = torch.Generator().manual_seed(0)
    return [Real(torch.randn(7, width, generator=generator), f"x{index}") for index, width in enumerate(widths)]


@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("relu", [True, False])
def test_float_sum(normed: bool, relu: bool) -> None:
    parts, layer = values(WIDTH, WIDTH, WIDTH), make_add(normed, True, relu)
    nn.init.normal_(layer.bias)
    expected = sum(part.dense for part in parts)
    if normed:
        expected = nn.BatchNorm1d(WIDTH)(expected)
    expected = expected + layer.bias
    torch.testing.assert_close(layer(*parts).dense, expected.relu() if relu else expected)


def test_float_concatenation_and_maximum() -> None:
    parts = values(3, 1, 2)
    assert torch.equal(Concatenate("join.update")(*parts).dense, torch.cat([part.dense for part in parts], dim=1))
    first, second = values(4, 4)
    assert torch.equal(Maximum("join.update")(first, second).dense, torch.maximum(first.dense, second.dense))


# Some of the norm's factors are negative.
@pytest.mark.parametrize(
    ("kind", "normed", "bias", "relu"), pairwise(KINDS, (True, False), (True, False), (True, False))
)
def test_integer_sums_equal_fake_quantization(kind: str, normed: bool, bias: bool, relu: bool) -> None:
    check(make_add(normed, bias, relu), kind, count=50 if normed and bias else 10)


@pytest.mark.parametrize(("join", "sources", "kind"), pairwise((Add, Concatenate, Maximum), (1, 2, 4), KINDS))
def test_integers_equal_fake_quantization_of_any_number_of_sources(
    kind: str, join: type[Add | Concatenate | Maximum], sources: int
) -> None:
    check(join("join.update"), kind, sources, count=50 if sources == 2 else 10)


def test_a_norm_that_turns_the_sign_has_negative_multipliers() -> None:
    graph, layer = make_graph(), make_add(True, False, False)
    model = calibrated(joined(layer), features(graph), graph)
    with torch.no_grad():
        layer.norm.weight.copy_(torch.tensor([-1.0, 2.0, -0.5, 0.0, 1e-6]))
    model.calibrate(features(graph).double(), graph, range(1, 9))
    frozen = IntegerModel.freeze(model, [8] * len(model.quantizers))
    multipliers = frozen.steps[-1].alignment.multipliers
    assert all(int(entry[0]) < 0 < int(entry[1]) for entry in multipliers)
    check_equal(model, features(graph), graph, random_allocations(model, 50))


@pytest.mark.parametrize("join", [Add, Concatenate, Maximum])
def test_the_input_itself_can_be_joined(join: type[Add | Concatenate | Maximum]) -> None:
    graph = make_graph()
    for sources in ((INPUT, "lin"), ("lin", INPUT)):
        lin = Linear(FEATURES, FEATURES, names=("lin.weight", "lin.output"))
        nodes = [Node("lin", lin, (INPUT,)), Node("join", join("join.update"), sources)]
        model = calibrated(QuantizableModel(nodes, input_name="net.input"), features(graph), graph)
        check_equal(model, features(graph), graph, random_allocations(model, 20))


def test_gradients_reach_every_source() -> None:
    graph = make_graph()
    for join in (make_add(True, True, False), Concatenate("join.update"), Maximum("join.update")):
        model = calibrated(joined(join), features(graph), graph).float()
        with model.allocated([6] * len(model.quantizers)):
            model(features(graph), graph).square().sum().backward()
        for name, parameter in model.named_parameters():
            if name.endswith("weight"):
                assert parameter.grad is not None, name
                assert bool(parameter.grad.any()), name


def test_rows_for_nodes_and_rows_for_graphs_are_not_joined() -> None:
    for join, word in ((Add("join.update"), "adds up"), (Maximum("join.update"), "joins")):
        nodes = [
            Node("lin", Linear(FEATURES, WIDTH, names=("lin.weight", "lin.output")), (INPUT,)),
            Node("pool", mean_pool("pool.aggregate"), ("lin",)),
            Node("join", join, ("lin", "pool")),
        ]
        model = QuantizableModel(nodes, input_name="net.input")
        for quantizer in model.quantizers:
            quantizer.calibrate(torch.randn(4, 5), (8,))
        with pytest.raises(ValueError, match=rf"{word} rows for nodes and rows for graphs"):
            IntegerModel.freeze(model, [8] * len(model.quantizers))
