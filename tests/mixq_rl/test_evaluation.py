import copy
import statistics
from collections.abc import Sequence
from dataclasses import replace

import pytest

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import BitWidthError, InputError
from mixq_rl.evaluation import measure_reference


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


def test_cache_evaluates_nothing_twice(evaluator: mixq_rl.SupernetEvaluator) -> None:
    asked: list[tuple[int, ...]] = []

    class Counting:
        components = evaluator.components
        bit_widths = evaluator.bit_widths
        reference = evaluator.reference

        def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[mixq_rl.Evaluation]:
            asked.extend(tuple(allocation) for allocation in allocations)
            return evaluator.evaluate(allocations)

    assert isinstance(Counting(), mixq_rl.Evaluator)
    cached = mixq_rl.CachedEvaluator(Counting())
    two, four = (2,) * 9, (4,) * 9
    first = cached.evaluate([two, four, two])
    again = cached.evaluate([four, two])
    assert asked == [two, four]
    assert first[0] is first[2] is again[1]
    assert list(cached.store) == [two, four]
    assert cached.hits == 3


def median_of_the_warm(meter: mixq_rl.OpMeter, executions: int) -> float:
    each = len(meter.records) // executions
    seconds = [sum(record.seconds for record in meter.records[each * k : each * (k + 1)]) for k in range(executions)]
    return statistics.median(seconds[1:])


def test_repeats_time_allocations_and_reference_warm(task: GraphTask, float_model: mixq_rl.QuantizableModel) -> None:
    timed = mixq_rl.SupernetEvaluator(float_model, task, seed=0, epochs=1, timing_repeats=3)
    assert timed.reference.seconds > 0
    with mixq_rl.OpMeter() as meter:
        reference = measure_reference(float_model, task, timing_repeats=3)
    # Two layers of two operations; one execution to warm up and three that count.
    assert len(meter.records) == 4 * 4
    assert reference.seconds == median_of_the_warm(meter, 4)
    with mixq_rl.OpMeter() as meter:
        (evaluation,) = timed.evaluate([(4,) * 9])
    assert len(meter.records) == 4 * 4
    assert evaluation.seconds == median_of_the_warm(meter, 4) > 0


def test_repeats_change_nothing_but_the_seconds(evaluator: mixq_rl.SupernetEvaluator) -> None:
    timed = copy.copy(evaluator)
    timed.timing_repeats = 3
    allocations = [(2,) * 9, (2, 4, 8, 2, 4, 8, 2, 4, 8)]
    once, repeated = ([replace(e, seconds=0) for e in each.evaluate(allocations)] for each in (evaluator, timed))
    assert once == repeated
    with mixq_rl.OpMeter() as meter:
        (evaluation,) = evaluator.evaluate(allocations[:1])
    assert evaluation.seconds == meter.seconds


def test_less_than_one_repeat_is_refused(float_model: mixq_rl.QuantizableModel, task: GraphTask) -> None:
    with pytest.raises(InputError, match="0 timing repeats: at least 1 is needed"):
        mixq_rl.SupernetEvaluator(float_model, task, timing_repeats=0)
