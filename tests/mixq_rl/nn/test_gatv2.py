from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_geometric.nn
from hypothesis import given, settings
from hypothesis import strategies as st

from mixq_rl import IntegerModel
from mixq_rl.errors import SumOverflowError
from mixq_rl.graph import Graph
from mixq_rl.metering import OpMeter
from mixq_rl.nn import GATv2Conv
from mixq_rl.nn.attention import IntegerAttend
from mixq_rl.nn.gatv2 import IntegerPairLogits
from mixq_rl.quantization import QTensor
from tests.conftest import ALL_BITS
from tests.mixq_rl.nn.networks import (
    FEATURES,
    KINDS,
    calibrated,
    check_equal,
    check_layer,
    features,
    make_graph,
    network,
    real,
)
from tests.pairwise import pairwise

pytestmark = pytest.mark.usefixtures("seeded")


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("concat", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("share_weights", [True, False])
def test_float_forward_equals_pytorch_geometric(
    heads: int, concat: bool, bias: bool, share_weights: bool, relu: bool
) -> None:
    options = {"heads": heads, "concat": concat, "bias": bias, "share_weights": share_weights, "negative_slope": 0.1}
    conv = GATv2Conv(FEATURES, 4, name="conv1", relu=relu, **options)
    theirs = torch_geometric.nn.GATv2Conv(FEATURES, 4, **options)
    for own, original in ((conv.linear, theirs.lin_l), (conv.target, theirs.lin_r)):
        if own is not None:
            original.weight.data = own.weight.detach().t().clone()
        if own is not None and own.bias is not None:
            original.bias.data = torch.nn.init.normal_(own.bias).detach().clone()
    theirs.att.data = conv.attend.logits.weight.detach().t().unsqueeze(0).clone()
    if bias:
        theirs.bias.data = torch.nn.init.normal_(conv.attend.bias).detach().clone()
    graph = make_graph()
    expected = theirs(features(graph), graph.edge_index)
    got = real(conv, features(graph), graph)
    torch.testing.assert_close(got, expected.relu() if relu else expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("heads", "kind", "concat", "share_weights", "relu"),
    pairwise((1, 2, 3), KINDS, (True, False), (True, False), (True, False)),
)
def test_integers_equal_fake_quantization(heads: int, kind: str, concat: bool, share_weights: bool, relu: bool) -> None:
    channels = {1: 5, 2: 4, 3: 3}[heads]
    layer = GATv2Conv(
        FEATURES, channels, name="conv1", heads=heads, concat=concat, share_weights=share_weights, relu=relu
    )
    check_layer(layer, kind, count=20)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(0, 1000), st.lists(st.sampled_from(ALL_BITS), min_size=10, max_size=10))
def test_integers_equal_fake_quantization_on_any_graph(nodes: int, seed: int, allocation: list[int]) -> None:
    graph = make_graph(nodes + 3, seed=seed)
    model = network(GATv2Conv(FEATURES, 4, name="conv1", heads=2))
    calibrated(model, features(graph, seed), graph, seed)
    check_equal(model, features(graph, seed), graph, [allocation])


def test_components() -> None:
    model, graph = network(GATv2Conv(FEATURES, 4, name="conv1", heads=2)), make_graph()
    components = model.observe(features(graph), graph)
    parts = ["weight", "message", "target_weight", "target", "pair", "attention_weight", "logit", "attention"]
    parts = [*parts, "aggregate"]
    assert [component.name for component in components] == ["net.input", *(f"conv1.{part}" for part in parts)]
    assert all(component.macs for component in components)


def test_logits_are_trained_at_few_bits() -> None:
    model, graph = network(GATv2Conv(FEATURES, 4, name="conv1", heads=2)), make_graph()
    calibrated(model, features(graph), graph).float()
    with model.allocated([3] * len(model.quantizers)):
        model(features(graph), graph)[:, 0].sum().backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if "scale" not in name}
    assert all(grad is not None and bool(grad.isfinite().all()) for grad in gradients.values())
    assert bool(gradients["layers.0.attend.logits.weight"].any())  # type: ignore[union-attr]


def test_weights_are_drawn_anew() -> None:
    layer = GATv2Conv(FEATURES, 4, name="conv1", heads=2)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(7)
    layer.reset_parameters()
    assert all(bool((parameter.abs() < 7).all()) for parameter in layer.parameters())


def test_float_and_integer_execution_record_the_same_operations() -> None:
    graph, x = make_graph(), features(make_graph())
    model = calibrated(network(GATv2Conv(FEATURES, 4, name="conv1", heads=2)), x, graph)
    frozen = IntegerModel.freeze(model, [4] * len(model.quantizers))
    with OpMeter() as meter, torch.no_grad():
        model(x.double(), graph)
    with OpMeter() as integer_meter:
        frozen.execute(frozen.quantize_features(x), frozen.quantize_graph(graph))
    shapes = [(record.kind, record.shape) for record in meter.records]
    assert shapes == [(record.kind, record.shape) for record in integer_meter.records]
    edges = int((graph.edge_index[0] != graph.edge_index[1]).sum()) + graph.num_nodes
    product = ("linear", (graph.num_nodes, FEATURES, 8))
    assert shapes == [product, product, ("linear", (edges, 4, 2)), ("aggregate", (graph.num_nodes, edges, 8))]
    assert {record.left_bits for record in integer_meter.records} == {4}
    assert all(record.bytes > 0 for record in integer_meter.records)


def test_a_product_that_might_overflow_is_refused() -> None:
    graph, x = Graph(torch.zeros(2, 0, dtype=torch.int64), 2), torch.randn(2, FEATURES)
    model = calibrated(network(GATv2Conv(FEATURES, 150_000, name="conv1")), x, graph)
    with torch.no_grad():
        model.layers[0].attend.logits.weight.fill_(1)
    with pytest.raises(SumOverflowError, match=r"layer 'conv1.aggregate': the sum over 150000 inputs"):
        IntegerModel.freeze(model, [8] * len(model.quantizers))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leaky": torch.zeros(3, dtype=torch.int8)}, "must have 16 entries"),
        ({"alignment": "one"}, "has 1 multipliers for 2 sources"),
        ({"weight": "wide"}, "has 4 vectors for 2 heads"),
        ({"weight": "long"}, "takes 16 columns, but what comes before has 8"),
    ],
)
def test_logits_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    graph = make_graph()
    model = calibrated(network(GATv2Conv(FEATURES, 4, name="conv1", heads=2)), features(graph), graph)
    frozen = IntegerModel.freeze(model, [4] * len(model.quantizers))
    step = frozen.steps[-1]
    assert isinstance(step, IntegerAttend)
    assert isinstance(step.logits, IntegerPairLogits)
    values, scale = step.logits.weight.values, step.logits.weight.scale
    offered = step.logits.weight.range
    wrong = {
        "one": replace(step.logits.alignment, multipliers=step.logits.alignment.multipliers[:1]),
        "wide": QTensor.pack(values.repeat(1, 2), offered, scale.repeat(2)),
        "long": QTensor.pack(values.repeat(2, 1), offered, scale),
    }
    made = {name: wrong[value] if isinstance(value, str) else value for name, value in changes.items()}
    with pytest.raises(ValueError, match=message):
        replace(frozen, steps=(*frozen.steps[:-1], replace(step, logits=replace(step.logits, **made))))


def test_a_saved_network_is_read_again(tmp_path: Path) -> None:
    graph, x = make_graph(), features(make_graph())
    model = calibrated(network(GATv2Conv(FEATURES, 4, name="conv1", heads=2)), x, graph)
    frozen = IntegerModel.freeze(model, [4] * len(model.quantizers))
    frozen.save(tmp_path)
    loaded = IntegerModel.load(tmp_path)
    assert torch.equal(loaded(x, graph.edge_index), frozen(x, graph.edge_index))
    assert loaded.nbytes == frozen.nbytes
    vectors = 4 * 2
    assert frozen.steps[-1].num_parameters == vectors + 8
