import copy
import random
from pathlib import Path

import pytest
import torch

import mixq_rl
from mixq_rl import kernels
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError, InvalidGraphError
from mixq_rl.graph import Graph
from mixq_rl.kernels import arguments, reference
from mixq_rl.quantization import PackedRows
from tests.conftest import ALL_BITS, make_task
from tests.mixq_rl.nn.networks import star
from tests.mixq_rl.no_float import NoFloat


def random_allocations(count: int, seed: int = 0) -> list[tuple[int, ...]]:
    draw = random.Random(seed)
    return [tuple(draw.choice(ALL_BITS) for _ in range(9)) for _ in range(count)]


def test_the_dispatch_mode_catches_a_float() -> None:
    with pytest.raises(AssertionError, match=r"torch\.float32"), NoFloat():
        torch.ones(2, dtype=torch.int32) * 0.5


@pytest.mark.parametrize("allocation", [*random_allocations(20, seed=1), *[(bits,) * 9 for bits in ALL_BITS]])
def test_no_floating_point_between_quantized_input_and_logits(
    any_bit_evaluator: mixq_rl.SupernetEvaluator, task: GraphTask, allocation: tuple[int, ...]
) -> None:
    model = any_bit_evaluator.freeze(allocation)
    features = model.quantize_features(task.x)
    prepared = model.quantize_graph(Graph(task.edge_index, task.num_nodes))
    with NoFloat() as watch:
        output = model.execute(features, prepared)
    assert watch.operations == 4  # a product and an aggregation for each layer, fused with what follows them
    # Inside an operator the mode sees nothing: watch the reference by itself, to which all backends are equal.
    linear, propagate, row = model.steps[0], model.steps[1], features.row
    offered = linear.requantization.range
    message = torch.empty(features.shape[0], offered.row_bytes(16), dtype=offered.storage_dtype)
    with NoFloat():
        left = arguments.Matrix.of(features.payload, features.zero_point)
        right = arguments.Matrix.of(linear.weight.payload)
        reference.linear(left, right, arguments.Rescale.of(linear.requantization, row), message)
        of_graph = prepared[1]
        adjacency = arguments.CSRMatrix(
            of_graph.csr.rowptr, of_graph.csr.col, of_graph.weight, propagate.adjacency.zero_point
        )
        payload = PackedRows(message, 16, offered)
        sums = torch.empty(features.shape[0], 16, dtype=torch.int32)
        reference.aggregate(adjacency, arguments.Matrix.of(payload, linear.requantization.zero_point), None, sums)
    assert output.values.dtype in (torch.int8, torch.uint8)
    assert bool((output.dequantize() == model(task.x.double(), task.edge_index)).all())


@pytest.mark.parametrize("backend", kernels.backends())
def test_every_backend_gives_the_same_integers(
    any_bit_evaluator: mixq_rl.SupernetEvaluator, task: GraphTask, backend: str
) -> None:
    for allocation in random_allocations(10, seed=3):
        model = any_bit_evaluator.freeze(allocation)
        expected = model(task.x, task.edge_index)
        with kernels.using(backend):
            assert torch.equal(model(task.x, task.edge_index), expected)


def agrees_with_fake_quantization(
    evaluator: mixq_rl.SupernetEvaluator,
    x: torch.Tensor,
    edge_index: torch.Tensor,
    allocation: tuple[int, ...],
) -> None:
    fake = copy.deepcopy(evaluator.model).double()
    with fake.allocated(allocation), torch.no_grad():
        expected = fake(x.double(), edge_index)
    got = evaluator.freeze(allocation)(x.double(), edge_index)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=0)
    assert torch.equal(got.argmax(dim=1), expected.argmax(dim=1))


@pytest.mark.parametrize("allocation", random_allocations(100))
def test_equals_the_fake_quantized_model(
    any_bit_evaluator: mixq_rl.SupernetEvaluator, task: GraphTask, allocation: tuple[int, ...]
) -> None:
    agrees_with_fake_quantization(any_bit_evaluator, task.x, task.edge_index, allocation)


@pytest.mark.parametrize(
    ("name", "count"),
    [("citation", 10), *(pytest.param(name, 100, marks=pytest.mark.slow) for name in ("citation", "Cora"))],
)
def test_equals_the_fake_quantized_model_on_random_allocations_of_a_whole_graph(
    name: str, count: int, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue("data_root") if name == "Cora" else "data"
    task = mixq_rl.load_task(name, root)
    model = mixq_rl.fit(mixq_rl.build_model("gcn", task), task, epochs=20)
    evaluator = mixq_rl.SupernetEvaluator(model, task, bit_widths=ALL_BITS, epochs=3)
    for allocation in random_allocations(count, seed=2):
        agrees_with_fake_quantization(evaluator, task.x, task.edge_index, allocation)


def test_equals_the_fake_quantized_model_with_real_valued_signed_features() -> None:
    task = make_task(seed=1)
    noise = torch.randn(task.x.shape, generator=torch.Generator().manual_seed(0))
    task = mixq_rl.GraphTask("real", task.x + noise, task.edge_index, task.y, task.masks)
    model = mixq_rl.fit(mixq_rl.build_model("gcn", task, hidden_channels=8, num_layers=3), task, epochs=10)
    evaluator = mixq_rl.SupernetEvaluator(model, task, bit_widths=ALL_BITS, epochs=5)
    draw = random.Random(0)
    for _ in range(30):
        allocation = tuple(draw.choice(ALL_BITS) for _ in range(13))
        agrees_with_fake_quantization(evaluator, task.x, task.edge_index, allocation)


def test_bitops_of_uniform_8_bits_on_cora_equal_the_hand_count(data_root: Path) -> None:
    task = mixq_rl.load_task("Cora", data_root)
    model = mixq_rl.build_model("gcn", task, hidden_channels=128)
    evaluator = mixq_rl.SupernetEvaluator(model, task, bit_widths=(8,), epochs=1)
    (evaluation,) = evaluator.evaluate([[8] * 9])
    # Cora: 2,708 nodes, 1,433 words, 7 classes, 10,556 directed edges; 128 hidden units; a self-loop at every node.
    edges = 10_556 + 2_708
    linear = 2_708 * 1_433 * 128 + 2_708 * 128 * 7
    aggregate = 2 * edges * 128 + 2 * edges * 7
    assert linear + aggregate == 502_719_840
    # Operands and result have 8 bits each: their mean is 8.
    assert evaluation.bitops == 8 * 502_719_840 == 4_021_758_720
    assert evaluator.reference.bitops == 32 * 502_719_840 == 16_087_034_880
    macs = linear + aggregate // 2
    assert evaluation.product_bitops == 8 * 8 * macs
    assert evaluator.reference.product_bitops == 32 * 32 * macs


def test_bitops_of_mixed_bits_equal_the_hand_count(
    any_bit_evaluator: mixq_rl.SupernetEvaluator, task: GraphTask
) -> None:
    (evaluation,) = any_bit_evaluator.evaluate([(1, 2, 3, 4, 5, 6, 7, 8, 1)])
    nodes, words, hidden, classes = task.num_nodes, 40, 16, 3
    loops = int((task.edge_index[0] == task.edge_index[1]).sum())
    edges = task.edge_index.shape[1] - loops + nodes
    first, second = nodes * words * hidden, nodes * hidden * classes
    assert evaluation.bitops == pytest.approx(
        first * (1 + 2 + 3) / 3
        + 2 * edges * hidden * (4 + 3 + 5) / 3
        + second * (5 + 6 + 7) / 3
        + 2 * edges * classes * (8 + 7 + 1) / 3
    )
    assert evaluation.product_bitops == (
        first * 1 * 2 + edges * hidden * 4 * 3 + second * 5 * 6 + edges * classes * 8 * 7
    )


def test_executes_on_a_graph_it_has_never_seen(evaluator: mixq_rl.SupernetEvaluator) -> None:
    other = make_task(nodes=37, seed=5)
    logits = evaluator.freeze((8,) * 9)(other.x, other.edge_index)
    assert logits.shape == (37, 3)
    assert logits.dtype == torch.float32
    agrees_with_fake_quantization(evaluator, other.x, other.edge_index, (8,) * 9)


@pytest.mark.parametrize("nodes", [1, 5])
def test_executes_on_a_graph_without_edges(evaluator: mixq_rl.SupernetEvaluator, nodes: int) -> None:
    x = torch.rand(nodes, 40, generator=torch.Generator().manual_seed(0))
    x[0] = 0
    no_edges = torch.zeros(2, 0, dtype=torch.int64)
    agrees_with_fake_quantization(evaluator, x, no_edges, (4,) * 9)


def test_a_node_s_result_depends_on_its_neighbourhood_alone(
    evaluator: mixq_rl.SupernetEvaluator, task: GraphTask
) -> None:
    model = evaluator.freeze((4,) * 9)
    far = 100 * torch.rand(1, task.num_features)
    alone = model(task.x, task.edge_index)
    beside = model(torch.cat([task.x, far * task.x.max() / far.max()]), task.edge_index)
    assert torch.equal(alone, beside[: task.num_nodes])


def test_bad_graphs_are_refused_before_execution(evaluator: mixq_rl.SupernetEvaluator, task: GraphTask) -> None:
    model = evaluator.freeze((8,) * 9)
    with pytest.raises(InvalidGraphError, match="names node 150"):
        model(task.x, torch.tensor([[0], [150]]))


def test_hub_that_could_overflow_is_refused_by_layer_and_node(evaluator: mixq_rl.SupernetEvaluator) -> None:
    model = evaluator.freeze((8,) * 9)
    with pytest.raises(OverflowError, match=r"layer 'conv1\.aggregate': the sum over the 100001 neighbours of node 0"):
        model.quantize_graph(star(100_000))


def test_saved_and_loaded_gives_the_same_integers(
    evaluator: mixq_rl.SupernetEvaluator, task: GraphTask, tmp_path: Path
) -> None:
    model = evaluator.freeze((2, 4, 8, 2, 4, 8, 2, 4, 8))
    model.save(tmp_path / "model")
    loaded = mixq_rl.IntegerModel.load(tmp_path / "model")
    assert loaded.allocation == model.allocation
    assert torch.equal(loaded(task.x, task.edge_index), model(task.x, task.edge_index))


def test_integer_features_are_refused(evaluator: mixq_rl.SupernetEvaluator, task: GraphTask) -> None:
    with pytest.raises(InputError, match=r"features are torch\.int64: convert them"):
        evaluator.freeze((4,) * 9)(task.x.long(), task.edge_index)
