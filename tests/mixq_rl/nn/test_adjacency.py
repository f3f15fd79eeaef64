import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixq_rl import IntegerModel, kernels
from mixq_rl.errors import InvalidGraphError, SumOverflowError
from mixq_rl.graph import Graph
from mixq_rl.nn import GCNConv, TAGConv
from mixq_rl.nn.adjacency import IntegerAdjacency
from mixq_rl.propagation import Propagation
from mixq_rl.quantization import IntegerRange, Quantizer
from tests.mixq_rl.nn.networks import (
    FEATURES,
    calibrated,
    check_equal,
    features,
    make_graph,
    network,
    random_allocations,
    star,
)

LAYERS = {
    "tag": lambda: TAGConv(FEATURES, 3, name="net", propagation=Propagation("absolute", "keep", weighted=True)),
    "tag without normalisation": lambda: TAGConv(FEATURES, 3, name="net", propagation=Propagation(weighted=True)),
    "gcn without normalisation": lambda: GCNConv(FEATURES, 3, name="net", propagation=Propagation(weighted=True)),
    "mean": lambda: GCNConv(FEATURES, 3, name="net", propagation=Propagation("mean", weighted=True)),
}


def signed_graph(seed: int = 0, nodes: int = 24) -> Graph:
    edges = make_graph(nodes, seed=seed).edge_index
    weight = torch.randn(edges.shape[1], generator=torch.Generator().manual_seed(seed))
    return Graph(edges, nodes, edge_weight=weight)


def quantizer(bits: int, signed: bool) -> Quantizer:
    return Quantizer(IntegerRange(bits, signed), torch.tensor(0.02, dtype=torch.float64))


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@settings(deadline=None, max_examples=3)
@given(seed=st.integers(0, 1000))
def test_signed_adjacencies_are_exact(make: type, seed: int) -> None:
    graph = signed_graph(seed)
    model = calibrated(network(make()), features(graph, seed), graph)
    check_equal(model, features(graph, seed), graph, random_allocations(model, 3, seed))
    adjacencies = [quantizer for quantizer in model.quantizers if quantizer.kind == "adjacency"]
    assert adjacencies
    assert all(quantizer.signed for quantizer in adjacencies)


@pytest.mark.parametrize("backend", kernels.backends())
def test_signed_adjacencies_are_the_same_on_every_backend(backend: str) -> None:
    graph = signed_graph(3)
    model = calibrated(network(LAYERS["tag"]()), features(graph), graph)
    frozen = IntegerModel.freeze(model, [8] * len(model.quantizers))
    expected = frozen(features(graph), graph.edge_index, graph.edge_weight)
    with kernels.using(backend):
        assert torch.equal(frozen(features(graph), graph.edge_index, graph.edge_weight), expected)


def test_negative_weights_that_training_did_not_have_are_refused() -> None:
    graph = make_graph(weighted=True)
    model = calibrated(network(LAYERS["tag"]()), features(graph), graph)
    frozen = IntegerModel.freeze(model, [8] * len(model.quantizers))
    frozen.quantize_graph(graph)
    with pytest.raises(InvalidGraphError, match=r"layer 'net\.aggregate_2': edge weights are negative, and those of"):
        frozen.quantize_graph(signed_graph())


def test_totals_are_the_sums_of_magnitudes() -> None:
    graph = signed_graph()
    adjacency = graph.adjacency(Propagation(weighted=True))
    made = IntegerAdjacency.of(adjacency, quantizer(8, signed=True), None, "net")
    assert made.weight is not None
    expected = torch.zeros(graph.num_nodes).index_add(0, adjacency.csr.row, made.weight.float().abs())
    assert torch.equal(made.totals, expected.long())
    plain = IntegerAdjacency.of(graph.adjacency(Propagation()), None, None, "net")
    assert torch.equal(plain.totals, plain.csr.rowptr.diff().long())


def test_a_hub_of_light_edges_is_executed_where_one_of_heavy_edges_is_refused() -> None:
    hub, spokes = star(70_000), 70_000
    weight = torch.full((spokes,), 0.01)
    weight[0] = 1
    layer = GCNConv(FEATURES, 2, name="net", bias=False, propagation=Propagation(weighted=True))
    graph = Graph(hub.edge_index, hub.num_nodes, edge_weight=weight)
    model = calibrated(network(layer), features(graph), graph)
    check_equal(model, features(graph), graph, [[8] * len(model.quantizers)])
    frozen = IntegerModel.freeze(model, [8] * len(model.quantizers))
    with kernels.using("reference"):
        expected = frozen(features(graph), graph.edge_index, weight)
    for backend in kernels.backends():
        with kernels.using(backend):
            assert torch.equal(frozen(features(graph), graph.edge_index, weight), expected)
    heavy = Graph(hub.edge_index, hub.num_nodes, edge_weight=torch.ones(spokes))
    with pytest.raises(SumOverflowError, match="the sum over the 70000 neighbours of node 0 may reach"):
        frozen.quantize_graph(heavy)
    four = IntegerModel.freeze(model, [8, 8, 8, 4, 8])
    four.quantize_graph(heavy)
