import copy
import gc
import itertools
import random
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

import mixq_rl
from mixq_rl.datasets import GraphInputs, GraphTask
from mixq_rl.errors import BitWidthError
from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.evaluation.shared_execution import SharedExecution
from mixq_rl.nn import QuantizableModel, models, prepare
from mixq_rl.nn.batch_norm import batch_norms
from mixq_rl.quantization import QTensor, schemes
from mixq_rl.training.batch_statistics import estimate_statistics
from tests.mixq_rl.nn.conversion.test_shared_layers import FEATURES, Branches
from tests.mixq_rl.nn.float_models import node_task, random_graph, settled

BITS = (1, 2, 3, 4, 8)


def made(name: str, task: GraphTask, scheme: str = "lsq") -> IntegerEvaluator:
    """An evaluator of an untrained network: weights and scales are those of its initialisation."""
    model = mixq_rl.build_model(name, task, hidden_channels=8, num_layers=2)
    return mixq_rl.PostTrainingEvaluator(model, task, bit_widths=BITS, scheme=schemes[scheme])


def neighbours(evaluator: IntegerEvaluator, seed: int, count: int = 12) -> list[tuple[int, ...]]:
    """Random allocations that change few components from one to the next, as a search's do."""
    draw = random.Random(seed)
    allocation = [draw.choice(BITS) for _ in evaluator.components]
    found = []
    for _ in range(count):
        for _ in range(draw.choice((0, 1, 1, 2, len(allocation)))):
            allocation[draw.randrange(len(allocation))] = draw.choice(BITS)
        found.append(tuple(allocation))
    return found


def frozen_alone(evaluator: IntegerEvaluator, allocation: Sequence[int]) -> mixq_rl.IntegerModel:
    model = copy.deepcopy(evaluator.model)
    with model.allocated(allocation):
        estimate_statistics(model, evaluator.task)
    return mixq_rl.IntegerModel.freeze(model, allocation)


def alone(evaluator: IntegerEvaluator, allocation: Sequence[int]) -> Evaluation:
    """What the allocation gives, frozen and executed whole."""
    return evaluator.measure(frozen_alone(evaluator, allocation), "validation")


def without_seconds(evaluation: Evaluation) -> tuple[object, ...]:
    e = evaluation
    return e.allocation, e.accuracy, e.bitops, e.reduction, e.product_bitops, e.product_reduction, e.bytes


def executed(models: Sequence[mixq_rl.IntegerModel], inputs: GraphInputs) -> list[QTensor]:
    return [model.execute(model.quantize_features(inputs.x), model.quantize_graph(inputs.graph)) for model in models]


def check_same(one: QTensor, other: QTensor) -> None:
    assert torch.equal(one.values, other.values)
    assert torch.equal(one.dequantize(), other.dequantize())


@pytest.fixture(scope="module", params=[(name, kind) for name in models for kind in ("node", "graph")])
def shared_evaluator(request: pytest.FixtureRequest, task: GraphTask, graph_task: GraphTask) -> IntegerEvaluator:
    name, kind = request.param
    return made(name, task if kind == "node" else graph_task)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_sharing_changes_nothing(shared_evaluator: IntegerEvaluator, seed: int) -> None:
    allocations = neighbours(shared_evaluator, seed)
    together = shared_evaluator.evaluate(allocations)
    assert [without_seconds(e) for e in together] == [without_seconds(alone(shared_evaluator, a)) for a in allocations]


def test_networks_of_shared_steps_are_those_frozen_alone(shared_evaluator: IntegerEvaluator) -> None:
    inputs = shared_evaluator.task.inputs("validation")
    for allocation in neighbours(shared_evaluator, seed=1):
        shared = shared_evaluator.freeze(allocation)
        frozen = frozen_alone(shared_evaluator, allocation)
        assert (shared.allocation, shared.components) == (frozen.allocation, frozen.components)
        assert (shared.signatures, shared.num_features) == (frozen.signatures, frozen.num_features)
        check_same(*executed((shared, frozen), inputs))


@pytest.mark.parametrize("scheme", ["a2q", "min-max"])
@pytest.mark.parametrize("name", ["gcn", "gin"])
def test_sharing_changes_nothing_in_other_schemes(name: str, scheme: str, graph_task: GraphTask) -> None:
    evaluator = made(name, graph_task, scheme)
    allocations = neighbours(evaluator, seed=2)
    together = evaluator.evaluate(allocations)
    assert [without_seconds(e) for e in together] == [without_seconds(alone(evaluator, a)) for a in allocations]


@pytest.fixture(scope="module")
def gin(graph_task: GraphTask) -> IntegerEvaluator:
    return made("gin", graph_task)


def test_statistics_are_measured_once_at_each_allocation_and_not_on_the_model(gin: IntegerEvaluator) -> None:
    inputs, measured = gin.task.inputs("validation"), []

    def measure(model: QuantizableModel) -> None:
        assert model is not gin.model
        measured.append(model.allocation)
        estimate_statistics(model, gin.task)

    before = [buffer.clone() for norm in batch_norms(gin.model) for buffer in norm.buffers()]
    shared = SharedExecution(gin.model, inputs.x, inputs.graph, measure=measure)
    for last in BITS:  # of the logits, behind the last norm
        shared.execute((4,) * (len(gin.components) - 1) + (last,))
    assert measured == [(4,) * (len(gin.components) - 1) + (BITS[0],)]
    other = (2,) + (4,) * (len(gin.components) - 1)
    shared.execute(other)
    assert measured[1:] == [other]
    assert shared.serves(gin.model, inputs.graph)
    assert all(map(torch.equal, (buffer for norm in batch_norms(gin.model) for buffer in norm.buffers()), before))


@pytest.mark.usefixtures("seeded")
def test_statistics_of_a_shared_norm_depend_on_all_bits() -> None:
    graph = random_graph()
    task = node_task(torch.randn(graph.num_nodes, FEATURES), graph)
    evaluator = mixq_rl.PostTrainingEvaluator(prepare(settled(Branches())), task, bit_widths=BITS)
    inputs = task.inputs("validation")
    for allocation in neighbours(evaluator, seed=5, count=30):
        check_same(*executed((evaluator.freeze(allocation), frozen_alone(evaluator, allocation)), inputs))


class Centred(nn.Module):
    """A bias that takes the mean off columns that hardly differ between rows, and a normalisation."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.lin, self.norm = nn.Linear(x.shape[1], 8), nn.BatchNorm1d(8)
        self.conv = GCNConv(8, 3)
        with torch.no_grad():
            self.lin.bias.copy_(-self.lin.weight @ x.mean(dim=0))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(self.norm(self.lin(x)).relu(), edge_index)


@pytest.mark.usefixtures("seeded")
def test_nearly_constant_columns_fit_fixed_point_whatever_the_bias() -> None:
    graph = random_graph()
    x = torch.rand(FEATURES) + 1e-3 * torch.randn(graph.num_nodes, FEATURES)
    model = mixq_rl.fit(prepare(Centred(x)), node_task(x, graph), epochs=3)
    evaluator = mixq_rl.PostTrainingEvaluator(model, node_task(x, graph), bit_widths=BITS)
    rest = (8,) * (len(evaluator.components) - 4)
    assert evaluator.forbidden == ()
    assert len(evaluator.evaluate([(*first, *rest) for first in itertools.product((1, 8), repeat=4)])) == 16


def test_evaluation_in_inference_mode_spoils_nothing(graph_task: GraphTask) -> None:
    evaluator = made("gin", graph_task)
    first, second = neighbours(evaluator, seed=6, count=2)
    with torch.inference_mode():
        (before,) = evaluator.evaluate([first])
    (after,) = evaluator.evaluate([second])
    assert [without_seconds(e) for e in (before, after)] == [
        without_seconds(alone(evaluator, each)) for each in (first, second)
    ]


def test_a_network_without_norms_is_not_measured(task: GraphTask) -> None:
    evaluator = made("gcn", task)
    inputs = task.inputs("validation")

    def measure(model: QuantizableModel) -> None:
        raise AssertionError

    assert SharedExecution(evaluator.model, inputs.x, inputs.graph, measure=measure).execute((4,) * 9).costs


def test_few_steps_are_held_and_the_others_frozen_again(gin: IntegerEvaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    allocations = neighbours(gin, seed=4)
    unlimited = gin.evaluate(allocations)
    monkeypatch.setattr("mixq_rl.evaluation.frozen_steps._HELD_BYTES", 2**14)
    fresh = copy.copy(gin)
    limited = fresh.evaluate(allocations)
    assert list(map(without_seconds, limited)) == list(map(without_seconds, unlimited))
    assert fresh.sizes(allocations) == gin.sizes(allocations)
    frozen = fresh.shared.frozen
    gc.collect()
    assert 0 < frozen._steps.nbytes <= 2**14
    held = {*frozen._steps.values(), *frozen._inputs.values()}
    assert set(frozen._room) == held
    assert set(fresh.shared._prepared) <= held


def executions(evaluator: IntegerEvaluator, held_bytes: int, model: QuantizableModel | None = None) -> SharedExecution:
    inputs = evaluator.task.inputs("validation")
    return SharedExecution(model or evaluator.model, inputs.x, inputs.graph, held_bytes=held_bytes)


@pytest.fixture(scope="module")
def gcn(task: GraphTask) -> IntegerEvaluator:
    return made("gcn", task)


def test_steps_are_executed_once(gcn: IntegerEvaluator) -> None:
    shared = executions(gcn, 2**30)
    for last in BITS:
        shared.execute((8,) * 8 + (last,))
    # Input to conv2.message are shared; only the last step has conv2.aggregate.
    assert (shared.asked, shared.executed) == (4 * len(BITS), 3 + len(BITS))
    for input_bits in (8, 4):
        shared.execute((input_bits,) + (8,) * 8)
    assert shared.executed == 3 + len(BITS) + 1 + 4  # logits are not held; what begins with another input is new


def test_results_beyond_the_limit_are_executed_again(gcn: IntegerEvaluator) -> None:
    unlimited, nothing = executions(gcn, 2**30), executions(gcn, 0)
    one = executions(gcn, 4000)
    for allocation in neighbours(gcn, seed=3, count=30):
        expected = unlimited.execute(allocation)
        for shared in (nothing, one):
            result = shared.execute(allocation)
            check_same(result.output, expected.output)
            assert [cost[:3] for cost in result.costs] == [cost[:3] for cost in expected.costs]
        assert one._results.nbytes <= 4000
    assert nothing.executed == nothing.asked
    assert unlimited.executed < one.executed <= one.asked
    assert not len(nothing._results)


def test_seconds_are_those_of_the_execution(gcn: IntegerEvaluator) -> None:
    shared = executions(gcn, 2**30)
    with mixq_rl.OpMeter() as first:
        before = shared.execute((8,) * 9)
    with mixq_rl.OpMeter() as second:
        after = shared.execute((8,) * 9)
    assert [cost.seconds for cost in before.costs] == [record.seconds for record in first.records]
    assert len(second.records) == 1
    assert [cost.seconds for cost in after.costs[:3]] == [cost.seconds for cost in before.costs[:3]]


def test_quantized_adjacencies_are_held_once(gcn: IntegerEvaluator) -> None:
    shared = executions(gcn, 2**30)
    for aggregate in BITS:
        shared.execute((8, 8, 8, 4, aggregate, 8, 8, 4, 8))
    adjacencies = {id(prepared) for prepared in shared._prepared.values() if prepared is not None}
    assert len(adjacencies) == 1  # the scales of both layers are the same, too


def test_what_cannot_be_frozen_is_refused_and_nothing_is_spoilt(gcn: IntegerEvaluator) -> None:
    shared = executions(gcn, 2**30)
    for wrong in ((8,) * 8, (8,) * 8 + (7,)):
        with pytest.raises(BitWidthError):
            shared.freeze(wrong)
    assert shared.freeze((8,) * 9).allocation == (8,) * 9
    with pytest.raises(BitWidthError, match=r"bit-width 7 of component 'conv2\.aggregate'"):
        shared.execute((8,) * 8 + (7,))
    assert gcn.model.allocation is None
