import pytest
import torch
from torch_geometric.utils import scatter

from mixq_rl import IntegerModel
from mixq_rl.graph import Graph
from mixq_rl.nn import INPUT, Linear, MaxPool, Node, Propagate, QuantizableModel, mean_pool, sum_pool
from mixq_rl.nn.operator import Operator
from tests.mixq_rl.nn.networks import (
    FEATURES,
    ODD_GRAPHS,
    calibrated,
    check_equal,
    features,
    make_graph,
    random_allocations,
    real,
)
from tests.pairwise import pairwise

POOLS = {
    "sum": lambda: sum_pool("pool.aggregate"),
    "mean": lambda: mean_pool("pool.aggregate"),
    "max": MaxPool,
}


def pooled(pool: Operator, *, before: bool, relu: bool = False) -> QuantizableModel:
    """A network that pools its input, or a linear layer, and ends in another."""
    nodes = [
        Node("lin1", Linear(FEATURES, FEATURES, names=("lin1.weight", "lin1.output"), relu=relu), (INPUT,)),
        Node("pool", pool, ("lin1" if before else INPUT,)),
        Node("lin2", Linear(FEATURES, 3, names=("lin2.weight", "lin2.output")), ("pool",)),
    ]
    return QuantizableModel(nodes if before else nodes[1:], input_name="net.input")


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("graphs", [None, 4])
def test_float_forward_equals_pytorch_geometric(name: str, graphs: int | None) -> None:
    graph = make_graph(graphs=graphs)
    batch = torch.zeros(graph.num_nodes, dtype=torch.int64) if graph.batch is None else graph.batch
    got = real(POOLS[name](), features(graph), graph)
    torch.testing.assert_close(got, scatter(features(graph), batch, reduce=name))


@pytest.mark.parametrize("name", POOLS)
def test_graphs_without_nodes_become_zero(name: str) -> None:
    graph = Graph(torch.zeros(2, 0, dtype=torch.int64), 2, batch=torch.tensor([1, 1]), num_graphs=3)
    got = real(POOLS[name](), torch.ones(2, 4), graph)
    assert got.shape == (3, 4)
    assert not got[0].any()
    assert not got[2].any()
    assert bool(got[1].all())


@pytest.mark.parametrize(("name", "before", "relu"), pairwise(POOLS, (True, False), (True, False)))
def test_integers_equal_fake_quantization(name: str, before: bool, relu: bool) -> None:
    graph = make_graph(graphs=5)
    model = calibrated(pooled(POOLS[name](), before=before, relu=relu), features(graph), graph)
    check_equal(model, features(graph), graph, random_allocations(model, 50))
    for make in ODD_GRAPHS.values():
        odd = make()
        check_equal(model, features(odd, seed=1) - 3, odd, random_allocations(model, 5, seed=1))


def test_maximum_has_the_bits_of_its_source_and_is_no_component() -> None:
    graph = make_graph(graphs=5)
    model = calibrated(pooled(MaxPool(), before=True), features(graph), graph)
    assert len(model.quantizers) == 5
    frozen = IntegerModel.freeze(model, [8, 8, 3, 8, 8])
    assert [step.result for step in frozen.steps] == ["lin1.output", "lin1.output", "lin2.output"]


def test_what_is_pooled_is_not_pooled_again() -> None:
    graph = make_graph(graphs=5)
    for name in POOLS:
        nodes = [
            Node("first", Propagate(sum_pool("a").propagation, adjacency=None, aggregate="a.aggregate"), (INPUT,)),
            Node("second", POOLS[name](), ("first",)),
        ]
        model = QuantizableModel(nodes, input_name="net.input")
        for quantizer in model.quantizers:
            quantizer.calibrate(features(graph), (8,))
        with pytest.raises(ValueError, match=r"but what comes before is pooled"):
            IntegerModel.freeze(model, [8] * len(model.quantizers))


def test_gradient_of_the_maximum_reaches_the_greatest() -> None:
    graph = make_graph(graphs=5)
    x = features(graph).requires_grad_()
    real(MaxPool(), x, graph).sum().backward()
    assert x.grad is not None
    assert x.grad.count_nonzero() >= graph.num_graphs * FEATURES
    assert float(x.grad.sum()) == pytest.approx(graph.num_graphs * FEATURES)
