import pytest
import torch

from mixq_rl import IntegerModel
from mixq_rl.errors import SumOverflowError
from mixq_rl.graph import Graph
from mixq_rl.nn import INPUT, Add, Linear, Node, Propagate, QuantizableModel
from mixq_rl.nn.propagation import has_entries
from mixq_rl.propagation import Propagation
from mixq_rl.quantization import Granularity
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
    star,
)
from tests.pairwise import pairwise

PROPAGATIONS = [
    Propagation(),
    Propagation("mean"),
    Propagation("symmetric", "remaining", weighted=True),
    Propagation("symmetric", "replace"),
    Propagation("symmetric", "replace", 0.3, weighted=True),
    Propagation("none", "add", 0.5, weighted=True),
    Propagation("mean", "replace"),
    Propagation("root", "add"),
]


def make_layer(propagation: Propagation, *, bias: bool = False, relu: bool = False) -> Propagate:
    return Propagate(
        propagation,
        adjacency="conv.adjacency" if has_entries(propagation) else None,
        aggregate="conv.aggregate",
        bias_channels=FEATURES if bias else None,
        relu=relu,
    )


@pytest.mark.parametrize("propagation", PROPAGATIONS)
@pytest.mark.parametrize("relu", [True, False])
def test_float_forward_is_the_product_with_the_matrix(propagation: Propagation, relu: bool) -> None:
    graph, layer = make_graph(weighted=True), make_layer(propagation, bias=True, relu=relu)
    torch.nn.init.normal_(layer.bias)
    adjacency = graph.adjacency(propagation)
    matrix = torch.zeros(graph.num_nodes, graph.num_nodes, dtype=torch.float64)
    matrix.index_put_((adjacency.csr.row, adjacency.csr.col.long()), adjacency.value, accumulate=True)
    if adjacency.row_scale is not None:
        matrix *= adjacency.row_scale
    expected = matrix.float() @ features(graph) + layer.bias
    got = real(layer, features(graph), graph)
    torch.testing.assert_close(got, expected.relu() if relu else expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("propagation", "kind", "bias"), pairwise(PROPAGATIONS, KINDS, (True, False)))
def test_integers_equal_fake_quantization(kind: str, propagation: Propagation, bias: bool) -> None:
    check_layer(make_layer(propagation, bias=bias, relu=bias), kind, weighted=True, count=50 if bias else 10)


def test_a_scale_for_each_column_of_the_input_is_carried_through() -> None:
    graph = make_graph()
    x = features(graph) * torch.logspace(-3, 2, FEATURES)
    model = calibrated(network(make_layer(Propagation("mean"))), x, graph)
    assert model.input.granularity is Granularity.COLUMN
    check_equal(model, x, graph, random_allocations(model, 20))


def test_bias_beside_an_input_of_one_scale() -> None:
    # Two consumers, one of which wants rows' scales and the other columns': there is one scale for all, and the
    # number of columns is known of the bias alone.
    graph = make_graph()
    nodes = [
        Node("conv", make_layer(Propagation("mean"), bias=True), (INPUT,)),
        Node("lin", Linear(FEATURES, FEATURES, names=("lin.weight", "lin.output")), (INPUT,)),
        Node("sum", Add("sum.update"), ("conv", "lin")),
    ]
    model = calibrated(QuantizableModel(nodes, input_name="net.input"), features(graph), graph)
    assert model.input.granularity is Granularity.TENSOR
    check_equal(model, features(graph), graph, random_allocations(model, 20))


def test_hub_that_could_overflow_is_refused_by_layer_and_node() -> None:
    graph = make_graph()
    model = calibrated(network(make_layer(PROPAGATIONS[3])), features(graph), graph)
    frozen = IntegerModel.freeze(model, [8] * len(model.quantizers))
    frozen.quantize_graph(star(10_000))
    with pytest.raises(SumOverflowError, match=r"'conv\.aggregate': the sum over the 100001 neighbours of node 0"):
        frozen.quantize_graph(star(100_000))


def test_pooled_values_are_not_propagated() -> None:
    nodes = [
        Node("pool", Propagate(Propagation(pooled=True), adjacency=None, aggregate="pool.aggregate"), (INPUT,)),
        Node("conv", make_layer(Propagation()), ("pool",)),
    ]
    model = QuantizableModel(nodes, input_name="net.input")
    graph = Graph(torch.zeros(2, 0, dtype=torch.int64), 1)
    model.calibrate(features(graph), graph, (8,))
    with pytest.raises(ValueError, match="sums over nodes, but what comes before is pooled"):
        IntegerModel.freeze(model, [8] * 3)
