import copy
from pathlib import Path

import pytest
import torch

from mixq_rl import IntegerModel, OpMeter
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError
from mixq_rl.nn import GINConv, QuantizableModel, build_model, build_network, models
from mixq_rl.nn.operator import Dropout
from mixq_rl.quantization import Granularity
from tests.mixq_rl.datasets.small_graphs import make_graph_task
from tests.mixq_rl.nn.networks import (
    KINDS,
    ODD_GRAPHS,
    calibrated,
    check_equal,
    features,
    make_graph,
    random_allocations,
)

NAMES = list(models)
WIDTH = 16


def make_task(kind: str) -> GraphTask:
    graph = make_graph(48, graphs=16 if kind == "graph" else None)
    rows = torch.arange(48 if graph.batch is None else 16)
    masks = {"train": rows % 4 < 2, "validation": rows % 4 == 2, "test": rows % 4 == 3}
    return GraphTask("small", features(graph), graph.edge_index, rows // 4 % 3, masks, batch=graph.batch)


@pytest.fixture(scope="module", params=[(name, kind) for name in NAMES for kind in KINDS], ids="-".join)
def built(request: pytest.FixtureRequest) -> tuple[QuantizableModel, GraphTask]:
    """Every network for every kind of task, calibrated at all bit-widths."""
    name, kind = request.param
    task = make_task(kind)
    model = build_model(name, task, hidden_channels=WIDTH, num_layers=2)
    inputs = task.inputs("train")
    return calibrated(model, inputs.x, inputs.graph), task


def test_integers_equal_fake_quantization(built: tuple[QuantizableModel, GraphTask]) -> None:
    model, task = built
    inputs = task.inputs("validation")
    check_equal(model, inputs.x, inputs.graph, random_allocations(model, 50))


def test_integers_equal_fake_quantization_on_odd_graphs(built: tuple[QuantizableModel, GraphTask]) -> None:
    model, _ = built
    for make in ODD_GRAPHS.values():
        check_equal(model, features(make(), seed=1), make(), random_allocations(model, 3))


def test_saved_and_loaded_gives_the_same_integers(built: tuple[QuantizableModel, GraphTask], tmp_path: Path) -> None:
    model, task = built
    inputs = task.inputs("test")
    for index, allocation in enumerate(random_allocations(model, 3)[::3]):
        frozen = IntegerModel.freeze(model, allocation)
        frozen.save(tmp_path / str(index))
        loaded = IntegerModel.load(tmp_path / str(index))
        assert (loaded.allocation, loaded.components) == (frozen.allocation, frozen.components)
        x, graph = inputs.x.double(), inputs.graph
        expected = frozen(x, graph.edge_index, graph.edge_weight, graph.batch)
        assert torch.equal(loaded(x, graph.edge_index, graph.edge_weight, graph.batch), expected)


def test_components_are_those_of_the_steps_in_their_order(built: tuple[QuantizableModel, GraphTask]) -> None:
    model, _ = built
    frozen = IntegerModel.freeze(model, [4] * len(model.quantizers))
    held = [name for step in frozen.steps for name in step.bits]
    names = [component.name for component in model.components]
    assert sorted(names) == sorted([names[0], *held])
    assert [component.name for component in model.components] == list(frozen.components)
    assert all(component.macs > 0 for component in model.components if component.kind in ("weight", "adjacency"))
    layers = [component.layer for component in model.components]
    assert layers == sorted(layers)


def test_gives_a_row_for_all_that_is_classified(built: tuple[QuantizableModel, GraphTask]) -> None:
    model, task = built
    inputs = task.inputs("train")
    with model.evaluating():
        logits = model(inputs.x.double(), inputs.graph)
    assert logits.shape == (inputs.y.numel(), 3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("kind", "layers", "extra"), [("node", {"gin": 2}, []), ("graph", {"gin": 5}, ["pool", "lin1", "lin2"])]
)
def test_usual_sizes(name: str, kind: str, layers: dict[str, int], extra: list[str]) -> None:
    model = build_model(name, make_task(kind))
    count = layers.get(name, 2 if kind == "node" else 4)
    found = [node.name for node in model.nodes if not isinstance(node.layer, Dropout)]
    assert found == [f"conv{index}" for index in range(1, count + 1)] + extra
    assert sum(isinstance(node.layer, Dropout) for node in model.nodes) == (count if kind == "node" else 1)


@pytest.mark.parametrize(("hidden", "layers"), [(0, 2), (8, 0), (-1, 1)])
def test_empty_networks_are_refused(hidden: int, layers: int) -> None:
    for name in NAMES:
        with pytest.raises(
            InputError, match=rf"a {name} of {layers} layers of width {hidden}: both must be at least 1"
        ):
            build_model(name, make_task("node"), hidden_channels=hidden, num_layers=layers)


def test_hidden_channels_that_heads_cannot_share_are_refused() -> None:
    with pytest.raises(InputError, match="12 hidden channels of a gat: they are split among 8 heads"):
        build_model("gat", make_task("node"), hidden_channels=12)


def test_dropout_outside_its_bounds_is_refused() -> None:
    with pytest.raises(InputError, match=r"dropout of 1\.5"):
        build_model("gcn", make_task("node"), dropout=1.5)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_the_same_weights(name: str) -> None:
    task = make_graph_task(weighted=False)
    one, same, other = (build_model(name, task, hidden_channels=8, num_layers=1, seed=seed) for seed in (1, 1, 2))
    pairs = [zip(one.parameters(), model.parameters(), strict=True) for model in (same, other)]
    assert all(torch.equal(first, second) for first, second in pairs[0])
    assert not all(torch.equal(first, second) for first, second in pairs[1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_quantized_training_reaches_every_weight(name: str, kind: str) -> None:
    task = make_task(kind)
    model = build_model(name, task, hidden_channels=WIDTH, num_layers=2, dropout=0.0)
    inputs = task.inputs("train")
    model.calibrate(inputs.x, inputs.graph, (8,))
    quantized = copy.deepcopy(model)
    quantized.allocation = (8,) * len(model.quantizers)
    for each in (model, quantized):
        each.eval()
        torch.nn.functional.cross_entropy(each(inputs.x, inputs.graph), inputs.y).backward()
    of_quantizers = {id(p) for quantizer in quantized.quantizers for p in quantizer.parameters()}
    for (path, parameter), own in zip(model.named_parameters(), quantized.parameters(), strict=True):
        if id(own) in of_quantizers or parameter.grad is None:
            continue
        assert own.grad is not None, path
        assert bool(own.grad.isfinite().all()), path
        if float(parameter.grad.norm()) > 1e-4:
            assert (
                float(torch.nn.functional.cosine_similarity(parameter.grad.flatten(), own.grad.flatten(), 0)) > 0.5
            ), path


@pytest.mark.parametrize("name", NAMES)
def test_the_input_is_as_fine_as_the_first_layer_can_take(name: str) -> None:
    expected = Granularity.COLUMN if name == "gin" else Granularity.ROW
    assert build_network(name, 8, 3, hidden_channels=WIDTH).input.granularity is expected


@pytest.mark.parametrize(("kind", "expected"), [("node", "root"), ("graph", "none")])
def test_sums_of_a_gin_are_damped_where_nodes_are_classified(kind: str, expected: str) -> None:
    model = build_network("gin", 8, 3, hidden_channels=WIDTH, pooled=kind == "graph")
    layers = [node.layer for node in model.nodes if isinstance(node.layer, GINConv)]
    assert {layer.propagate.propagation.normalization for layer in layers} == {expected}


@pytest.mark.parametrize("name", ["sage", "gin", "gat"])
def test_edge_weights_without_a_use_are_refused(name: str) -> None:
    message = f"a {name} has no use for edge weights: leave them out, or choose another model .*gcn, .*tag"
    with pytest.raises(InputError, match=message):
        build_model(name, make_graph_task(weighted=True), hidden_channels=8)


@pytest.mark.parametrize("name", ["gcn", "tag", "graphconv", "appnp"])
def test_without_edge_weights_a_weighted_network_takes_ones(name: str) -> None:
    graph = make_graph(48, weighted=True)
    x, ones = features(graph), torch.ones(graph.edge_index.shape[1])
    model = build_network(name, x.shape[1], 3, hidden_channels=WIDTH, weighted=True)
    model = calibrated(model, x, graph)
    integers = IntegerModel.freeze(model, [8] * len(model.quantizers))
    assert torch.equal(integers(x, graph.edge_index), integers(x, graph.edge_index, ones))
    assert not torch.equal(integers(x, graph.edge_index), integers(x, graph.edge_index, graph.edge_weight))


def test_integer_networks_refuse_edge_weights_that_they_do_not_use() -> None:
    graph = make_graph(48)
    model = calibrated(build_network("gcn", features(graph).shape[1], 3, hidden_channels=8), features(graph), graph)
    integers = IntegerModel.freeze(model, [4] * len(model.quantizers))
    with pytest.raises(InputError, match="no use for edge weights"):
        integers(features(graph), graph.edge_index, torch.ones(graph.edge_index.shape[1]))


def test_neighbours_without_weights_count_the_same_in_both_networks() -> None:
    task = make_task("node")
    model = build_model("sage", task, hidden_channels=8)
    inputs = task.inputs("train")
    model = calibrated(model, inputs.x, inputs.graph)
    with OpMeter() as floating, model.evaluating(), model.allocated(None):
        model(inputs.x.double(), inputs.graph)
    integers = IntegerModel.freeze(model, [8] * len(model.quantizers))
    with OpMeter() as counted:
        integers(inputs.x, inputs.graph.edge_index)
    assert floating.bitops("linear") == 4 * counted.bitops("linear")
    aggregates = [
        [record.bitops("product") for record in meter.records if record.kind == "aggregate"]
        for meter in (floating, counted)
    ]
    assert aggregates[0] == [4 * bitops for bitops in aggregates[1]]


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_over_a_graph_keeps_small_features_that_sum_to_zero(name: str) -> None:
    # Positional encodings have any sign and sum to 0 over a graph. The mean of an odd function of them is nearly 0.
    graph = make_graph(48, graphs=4)
    x = 1e-3 * features(graph)
    model = build_network(name, x.shape[1], 3, pooled=True, hidden_channels=WIDTH)
    there, back = (model.capture(sign * x, graph)[0]["pool.aggregate"] for sign in (1, -1))
    assert float((there + back).norm()) > 0.1 * float((there - back).norm())
