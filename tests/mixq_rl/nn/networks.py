"""Small graphs, networks around single layers, and what their integers must equal."""

import random
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

import mixq_rl
from mixq_rl.graph import Graph
from mixq_rl.nn import INPUT, Node, QuantizableModel, mean_pool
from mixq_rl.nn.operator import Real
from tests.conftest import ALL_BITS
from tests.mixq_rl.no_float import NoFloat

FEATURES = 6
KINDS = ("node", "graph")


def make_graph(nodes: int = 24, *, seed: int = 0, weighted: bool = False, graphs: int | None = None) -> Graph:
    """A graph with self-loops, parallel edges and isolated nodes; or as many graphs, some of them without edges."""
    generator = torch.Generator().manual_seed(seed)
    linked = nodes - 3
    edges = torch.randint(linked, (2, 4 * nodes), generator=generator)
    edges = edges[:, edges[0] != edges[1]]
    edges = torch.cat([edges, edges[:, :5], torch.arange(0, linked, 4).expand(2, -1)], dim=1)
    batch = None
    if graphs is not None:
        batch = torch.arange(nodes) * graphs // nodes
        edges = edges[:, batch[edges[0]] == batch[edges[1]]]
    weight = 0.2 + torch.rand(edges.shape[1], generator=generator) if weighted else None
    return Graph(edges, nodes, edge_weight=weight, batch=batch, num_graphs=graphs)


def features(graph: Graph, seed: int = 0) -> Tensor:
    """Signed features, one row of which is 0."""
    x = torch.randn(graph.num_nodes, FEATURES, generator=torch.Generator().manual_seed(seed))
    x[0] = 0
    return x


def star(spokes: int) -> Graph:
    """A hub that sums over so many neighbours."""
    nodes = torch.arange(1, spokes + 1)
    return Graph(torch.stack([nodes, torch.zeros_like(nodes)]), spokes + 1)


ODD_GRAPHS: dict[str, Callable[[], Graph]] = {
    "one node": lambda: Graph(torch.zeros(2, 0, dtype=torch.int64), 1),
    "one node with a loop": lambda: Graph(torch.zeros(2, 1, dtype=torch.int64), 1),
    "no edges": lambda: Graph(torch.zeros(2, 0, dtype=torch.int64), 5),
    "hub": lambda: star(700),
    "a graph without nodes": lambda: Graph(
        torch.tensor([[0, 1], [1, 0]]), 3, batch=torch.tensor([0, 0, 2]), num_graphs=4
    ),
}


def network(layer: nn.Module, kind: str = "node") -> QuantizableModel:
    """A network of one layer, pooled where graphs are classified."""
    nodes = [Node("layer", layer, (INPUT,))]
    if kind == "graph":
        nodes.append(Node("pool", mean_pool("pool.aggregate"), ("layer",)))
    return QuantizableModel(nodes, input_name="net.input")


def calibrated(model: QuantizableModel, x: Tensor, graph: Graph, seed: int = 0) -> QuantizableModel:
    """The model with biases and batch statistics as training may leave them, scales for all bits, in float64."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(generator=generator)
        for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm1d)):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.normal_(generator=generator)
            norm.running_var.uniform_(0.5, 2, generator=generator)
            norm.weight.normal_(generator=generator)  # some of them negative
    model.eval()
    model.calibrate(x, graph, ALL_BITS)
    return model.double()


def random_allocations(model: QuantizableModel, count: int, seed: int = 0) -> list[tuple[int, ...]]:
    """So many random allocations; of 8 and more the first ones are uniform."""
    draw, uniform = random.Random(seed), [(bits,) * len(model.quantizers) for bits in ALL_BITS]
    drawn = [tuple(draw.choice(ALL_BITS) for _ in model.quantizers) for _ in range(count)]
    return [*uniform, *drawn] if count >= len(ALL_BITS) else drawn


def check_equal(model: QuantizableModel, x: Tensor, graph: Graph, allocations: Iterable[Sequence[int]]) -> None:
    """Check that the integer network equals the fake-quantized one in float64, and that it is one of integers."""
    for allocation in allocations:
        frozen = mixq_rl.IntegerModel.freeze(model, allocation)
        integers, prepared = frozen.quantize_features(x.double()), frozen.quantize_graph(graph)
        with NoFloat() as watch:
            output = frozen.execute(integers, prepared)
        assert watch.operations >= len(frozen.steps)
        assert output.values.dtype in (torch.int8, torch.uint8)
        at_once = frozen.execute(integers, prepared)  # without a dispatch mode, in one native call where that can be
        assert torch.equal(at_once.payload.data, output.payload.data)
        with model.evaluating(), model.allocated(allocation):
            expected = model(x.double(), graph)
        got = output.dequantize()
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=0, msg=lambda text, a=allocation: f"{a}: {text}")
        assert torch.equal(got.argmax(dim=1), expected.argmax(dim=1))


def check_layer(layer: nn.Module, kind: str, *, count: int = 10, weighted: bool = False) -> None:
    """Check a layer on its own at so many random allocations, and at fewer on odd graphs it was not calibrated on."""
    graph = make_graph(graphs=5 if kind == "graph" else None, weighted=weighted)
    model = calibrated(network(layer, kind), features(graph), graph)
    check_equal(model, features(graph), graph, random_allocations(model, count))
    for make in ODD_GRAPHS.values():
        odd = make()
        check_equal(model, features(odd, seed=1), odd, random_allocations(model, 3, seed=1))


def real(layer: nn.Module, x: Tensor, graph: Graph | None = None) -> Tensor:
    """The float layer's result."""
    result = layer(Real(x, "x"), graph=graph)
    assert isinstance(result, Real)
    return result.dense
