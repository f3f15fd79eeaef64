import copy
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import BitWidthError, InputError, UnknownNameError
from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.evaluation.measurement import measure_reference
from mixq_rl.evaluation.shared_execution import SharedExecution


def test_reference_is_the_float_model(
    evaluator: mixq_rl.SupernetEvaluator, float_model: mixq_rl.QuantizableModel, task: GraphTask
) -> None:
    reference = evaluator.reference
    assert reference.accuracy == task.accuracy(float_model(task.x, task.edge_index), "validation")
    assert reference.reduction == reference.product_reduction == 1
    assert reference.allocation == (32,) * 9


@pytest.mark.parametrize(("bits", "linear", "product"), [(8, 4, 16), (4, 8, 64), (2, 16, 256)])
def test_uniform_reductions(evaluator: mixq_rl.SupernetEvaluator, bits: int, linear: float, product: float) -> None:
    (evaluation,) = evaluator.evaluate([[bits] * 9])
    assert evaluation.allocation == (bits,) * 9
    assert evaluation.reduction == pytest.approx(linear)
    assert evaluation.product_reduction == pytest.approx(product)
    assert evaluation.seconds > 0
    assert evaluation.bytes > 0


def test_accuracy_is_that_of_the_integer_model(evaluator: mixq_rl.SupernetEvaluator, task: GraphTask) -> None:
    allocation = (2, 4, 8, 2, 4, 8, 2, 4, 8)
    (evaluation,) = evaluator.evaluate([allocation])
    logits = evaluator.freeze(allocation)(task.x, task.edge_index)
    assert evaluation.accuracy == task.accuracy(logits, "validation")
    assert evaluator.measure(evaluator.freeze(allocation), "test").accuracy == task.accuracy(logits, "test")


def test_evaluating_never_looks_at_the_test_split(evaluator: mixq_rl.SupernetEvaluator, task: GraphTask) -> None:
    blind = copy.copy(evaluator)
    masks = {split: mask for split, mask in task.masks.items() if split != "test"}
    blind.task = mixq_rl.GraphTask(task.name, task.x, task.edge_index, task.y, masks)
    allocations = [(2,) * 9, (8,) * 9]
    assert [e.accuracy for e in blind.evaluate(allocations)] == [e.accuracy for e in evaluator.evaluate(allocations)]


@pytest.mark.parametrize(
    ("allocation", "message"),
    [
        ([2] * 8, "8 bit-widths for 9 components"),
        ([2, 3] + [2] * 7, r"bit-width 3 of component 'conv1.weight' is not among \(2, 4, 8\)"),
    ],
)
def test_wrong_allocations_are_refused(
    evaluator: mixq_rl.SupernetEvaluator, allocation: Sequence[int], message: str
) -> None:
    with pytest.raises(BitWidthError, match=message):
        evaluator.evaluate([allocation])


def test_repeats_time_allocations_and_reference_warm(
    task: GraphTask, float_model: mixq_rl.QuantizableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = mixq_rl.SupernetEvaluator(float_model, task, seed=0, epochs=1, timing_repeats=3)
    assert timed.reference.seconds > 0
    calls: list[str] = []
    handle = float_model.register_forward_hook(lambda *_: calls.append("float32"))
    with mixq_rl.OpMeter() as meter:
        reference = measure_reference(float_model, task, timing_repeats=3)
    handle.remove()
    assert reference.seconds > 0
    # One execution under a meter, of two layers of two operations each; one to warm up and three that are timed.
    assert calls == ["float32"] * 5
    assert len(meter.records) == 4
    execute = mixq_rl.IntegerModel.execute
    monkeypatch.setattr(mixq_rl.IntegerModel, "execute", lambda *given: calls.append("integers") or execute(*given))
    with mixq_rl.OpMeter() as meter:
        (evaluation,) = timed.evaluate([(4,) * 9])
    assert evaluation.seconds > 0
    assert calls[5:] == ["integers"] * 5
    assert len(meter.records) == 4


def test_repeats_change_nothing_but_the_seconds(evaluator: mixq_rl.SupernetEvaluator) -> None:
    timed = copy.copy(evaluator)
    timed.timing_repeats = 3
    allocations = [(2,) * 9, (2, 4, 8, 2, 4, 8, 2, 4, 8)]
    once, repeated = ([replace(e, seconds=0) for e in each.evaluate(allocations)] for each in (evaluator, timed))
    assert once == repeated
    with mixq_rl.OpMeter() as meter:
        (evaluation,) = copy.copy(evaluator).evaluate(allocations[:1])  # a copy shares nothing that was executed
    assert evaluation.seconds == meter.seconds


def test_a_network_that_was_trained_on_is_executed_anew(task: GraphTask, float_model: mixq_rl.QuantizableModel) -> None:
    evaluator = mixq_rl.PostTrainingEvaluator(float_model, task, bit_widths=(2, 8))
    (before,) = evaluator.evaluate([(8,) * 9])
    frozen = evaluator.freeze((8,) * 9)
    with torch.no_grad():
        for parameter in evaluator.model.parameters():
            parameter.neg_()
    (after,) = evaluator.evaluate([(8,) * 9])
    assert after.accuracy == evaluator.measure(evaluator.freeze((8,) * 9), "validation").accuracy != before.accuracy
    assert evaluator.measure(frozen, "validation").accuracy == before.accuracy


def test_allocations_are_evaluated_in_the_order_asked_for_and_given_back_one_by_one(
    evaluator: mixq_rl.SupernetEvaluator,
) -> None:
    fresh, draw = copy.copy(evaluator), random.Random(0)
    asked = [tuple(draw.choice((2, 4, 8)) for _ in range(9)) for _ in range(50)]
    stream = fresh.stream(asked)
    assert next(stream).allocation == asked[0]
    assert fresh.shared.asked == 4  # steps of one allocation
    assert [evaluation.allocation for evaluation in stream] == asked[1:]
    assert fresh.shared.executed < fresh.shared.asked == 200


def test_warming_up_executes_every_combination_of_bits_of_every_step(
    evaluator: mixq_rl.SupernetEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    executions: set[SharedExecution] = set()
    execute = SharedExecution.execute_step
    monkeypatch.setattr(
        SharedExecution, "execute_step", lambda self, *given: executions.add(self) or execute(self, *given)
    )
    evaluator.warm_up(lambda done, total: told.append((done, total)))
    assert told == [(done, 4 * 27) for done in range(1, 4 * 27 + 1)]
    (shared,) = executions
    assert len(shared.frozen._steps) == 27 * 4


def test_networks_that_take_turns_are_timed(
    evaluator: mixq_rl.SupernetEvaluator, float_model: mixq_rl.QuantizableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = copy.copy(evaluator)
    timed.timing_repeats = 3
    order: list[str] = []
    execute = mixq_rl.IntegerModel.execute
    monkeypatch.setattr(mixq_rl.IntegerModel, "execute", lambda *given: order.append("integers") or execute(*given))
    handle = float_model.register_forward_hook(lambda *_: order.append("float32"))
    seconds = timed.time_together([float_model, timed.freeze((2,) * 9)])
    handle.remove()
    assert order == ["float32", "integers"] * 4  # the first ones warm up
    assert all(taken > 0 for taken in seconds)


def test_less_than_one_repeat_is_refused(float_model: mixq_rl.QuantizableModel, task: GraphTask) -> None:
    with pytest.raises(InputError, match="0 timing repeats: at least 1 is needed"):
        mixq_rl.SupernetEvaluator(float_model, task, timing_repeats=0)


@pytest.fixture(scope="module", params=list(mixq_rl.evaluators))
def graph_evaluator(request: pytest.FixtureRequest, graph_task: GraphTask) -> IntegerEvaluator:
    """Every evaluator on graphs."""
    model = mixq_rl.build_model("gin", graph_task, hidden_channels=8, num_layers=2)
    mixq_rl.fit(model, graph_task, epochs=15)
    return mixq_rl.evaluators[request.param](model, graph_task, bit_widths=(2, 8), epochs=5)


def test_graphs_are_judged_on_their_split(graph_evaluator: IntegerEvaluator, graph_task: GraphTask) -> None:
    count = len(graph_evaluator.components)
    evaluations = graph_evaluator.evaluate([[8] * count, [2] * count])
    assert [evaluation.reduction for evaluation in evaluations] == pytest.approx([4, 16], rel=0.2)
    frozen = graph_evaluator.freeze([8] * count)
    for split in ("validation", "test"):
        inputs = graph_task.inputs(split)
        logits = frozen(inputs.x, inputs.graph.edge_index, batch=inputs.graph.batch)
        evaluation = graph_evaluator.measure(frozen, split)
        assert evaluation.accuracy == graph_task.accuracy(logits, split)
        # Splits differ in their graphs: the reduction is against float32 on the same ones.
        reference = measure_reference(graph_evaluator._float_model, graph_task, split=split)
        assert evaluation.reduction == pytest.approx(reference.bitops / evaluation.bitops)


def test_teacher_answers_for_training_graphs_alone(graph_evaluator: IntegerEvaluator, graph_task: GraphTask) -> None:
    sums = graph_evaluator.teacher.sum(dim=1)
    torch.testing.assert_close(sums, graph_task.masks["train"].float())


def test_fine_tuning_starts_from_what_was_evaluated(graph_evaluator: IntegerEvaluator) -> None:
    allocation = (8,) * len(graph_evaluator.components)
    tuned = graph_evaluator.fine_tune(allocation, epochs=2)
    assert tuned.allocation == allocation


def test_post_training_evaluates_the_float_models_own_weights(
    task: GraphTask, float_model: mixq_rl.QuantizableModel
) -> None:
    evaluator = mixq_rl.PostTrainingEvaluator(
        float_model, task, bit_widths=(2, 8), progress=lambda done, total: pytest.fail("trained")
    )
    for name, weight in float_model.named_parameters():
        assert torch.equal(evaluator.model.get_parameter(name), weight)
    exact, coarse = evaluator.evaluate([(8,) * 9, (2,) * 9])
    assert exact.accuracy == pytest.approx(evaluator.reference.accuracy, abs=0.05)
    assert exact.accuracy >= coarse.accuracy


def test_fine_tune_trains_each_allocation_on_its_own(task: GraphTask, float_model: mixq_rl.QuantizableModel) -> None:
    post = mixq_rl.PostTrainingEvaluator(float_model, task, bit_widths=(2, 8))
    tuned = mixq_rl.FineTuneEvaluator(float_model, task, bit_widths=(2, 8), epochs=10)
    before = {name: tensor.clone() for name, tensor in tuned.model.state_dict().items()}
    (coarse,), (better,) = post.evaluate([(2,) * 9]), tuned.evaluate([(2,) * 9])
    assert better.accuracy >= coarse.accuracy
    assert tuned.evaluate([(2,) * 9])[0].accuracy == better.accuracy
    assert all(torch.equal(before[name], tensor) for name, tensor in tuned.model.state_dict().items())


def test_the_supernet_reports_its_epochs_and_those_of_its_teacher(
    task: GraphTask, float_model: mixq_rl.QuantizableModel
) -> None:
    told: list[tuple[int, int]] = []
    mixq_rl.SupernetEvaluator(float_model, task, epochs=3, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 6) for done in range(1, 7)]


def test_unknown_evaluators_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="known are supernet, fine-tune, post-training; did you mean 'supernet'"):
        mixq_rl.evaluators["supernett"]


def test_sizes_count_the_names_of_the_classes(
    task: GraphTask, float_model: mixq_rl.QuantizableModel, tmp_path: Path
) -> None:
    named = replace(task, class_names=tuple(f"class of long name {label}" for label in range(task.num_classes)))
    evaluator = mixq_rl.PostTrainingEvaluator(float_model, named)
    network = evaluator.freeze([4] * 9)
    network.save(tmp_path / "network")
    (size,) = evaluator.sizes([[4] * 9])
    assert network.classes == named.class_names
    (evaluation,) = evaluator.evaluate([[4] * 9])
    assert network.room == size == evaluation.size == evaluator.measure(network, "validation").size
    assert sum(file.stat().st_size for file in (tmp_path / "network").iterdir()) <= size
    assert mixq_rl.PostTrainingEvaluator(float_model, task).sizes([[4] * 9])[0] < size
