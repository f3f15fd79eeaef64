from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.evaluation.accuracy_estimate import AccuracyEstimate
from mixq_rl.evaluation.measurement import measure_reference
from mixq_rl.quantization import FixedPoint, IntegerRange, QTensor
from mixq_rl.training.preparation import prepare_calibrated


@pytest.fixture
def teacher(task: GraphTask) -> torch.Tensor:
    return torch.randn(task.num_nodes, 3, generator=torch.Generator().manual_seed(0)).softmax(dim=1)


def made(task: GraphTask, teacher: torch.Tensor, model: mixq_rl.QuantizableModel) -> AccuracyEstimate:
    return AccuracyEstimate(task, teacher, model, measure_reference(model, task))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), bits=st.integers(1, 8), scaled=st.sampled_from(("tensor", "row", "column")))
def test_estimates_weigh_labels_and_the_teacher_by_numbers_of_nodes(
    task: GraphTask, float_model: mixq_rl.QuantizableModel, seed: int, bits: int, scaled: str
) -> None:
    draw, offered = torch.Generator().manual_seed(seed), IntegerRange(bits, signed=False)
    teacher = torch.randn(task.num_nodes, 3, generator=draw).softmax(dim=1)
    values = torch.randint(0, 2**bits, (task.num_nodes, 3), generator=draw).to(offered.dtype)
    scale = torch.rand((3,) if scaled == "column" else (), generator=draw, dtype=torch.float64) + 1e-9
    row = None
    if scaled == "row":
        row = FixedPoint(torch.randint(0, 3, (task.num_nodes, 1), generator=draw, dtype=torch.int32), 4)
    logits = QTensor.pack(values, offered, scale, 0, row)
    reference = measure_reference(float_model, task)
    accuracy = task.accuracy(logits.dequantize(), "validation")
    evaluation = replace(reference, accuracy=accuracy)
    estimate = AccuracyEstimate(task, teacher, float_model, reference)
    (found,) = estimate.added([evaluation], [estimate.measure(logits)])

    rest = ~task.masks["train"]
    with float_model.evaluating():
        answers = [
            each.argmax(dim=1) for each in (logits.dequantize(), float_model(task.x, task.inputs("validation").graph))
        ]
    mine, floats = (float(teacher.double().gather(1, each[:, None])[rest].mean()) for each in answers)
    n = int(task.masks["validation"].sum())
    expected = reference.accuracy + (n * (accuracy - reference.accuracy) + 4000 * (mine - floats)) / (n + 4000)
    assert found == replace(evaluation, estimate=found.estimate)
    assert found.estimate == pytest.approx(min(max(expected, 0), 1), abs=1e-5)
    assert found.merit == found.estimate


def test_float32_is_estimated_at_its_accuracy(
    task: GraphTask, teacher: torch.Tensor, float_model: mixq_rl.QuantizableModel
) -> None:
    with float_model.evaluating():
        classes = float_model(task.x, task.inputs("validation").graph).argmax(dim=1)
    same = torch.nn.functional.one_hot(classes, 3).to(torch.uint8)
    logits = QTensor.pack(same, IntegerRange(1, signed=False), torch.tensor(1.0, dtype=torch.float64))
    reference, estimate = measure_reference(float_model, task), made(task, teacher, float_model)
    (found,) = estimate.added([reference], [estimate.measure(logits)])
    assert found.estimate == pytest.approx(reference.accuracy)


def test_no_labels_but_those_of_the_validation_split_are_used(
    task: GraphTask, teacher: torch.Tensor, float_model: mixq_rl.QuantizableModel
) -> None:
    other = replace(task, y=torch.where(task.masks["validation"], task.y, (task.y + 1) % 3))
    values = torch.randint(0, 256, (task.num_nodes, 3), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    logits = QTensor.pack(values, IntegerRange(8, signed=False), torch.tensor(1.0, dtype=torch.float64))
    reference = measure_reference(float_model, task)
    found = [
        estimate.added([reference], [estimate.measure(logits)])
        for estimate in (made(each, teacher, float_model) for each in (task, other))
    ]
    assert found[0] == found[1]
    assert found[0][0].estimate != reference.accuracy


def test_of_nothing_there_is_nothing(
    task: GraphTask, teacher: torch.Tensor, float_model: mixq_rl.QuantizableModel
) -> None:
    assert made(task, teacher, float_model).added([], []) == []


def test_evaluations_and_measured_networks_have_estimates_on_validation_data_alone(
    evaluator: mixq_rl.SupernetEvaluator,
) -> None:
    allocation = (2, 4, 8, 2, 4, 8, 2, 4, 8)
    (evaluation,) = evaluator.evaluate([allocation])
    network = evaluator.freeze(allocation)
    measured = evaluator.measure(network, "validation")
    assert measured.estimate == evaluation.estimate != measured.accuracy == evaluation.accuracy
    for split in ("train", "test"):
        assert evaluator.measure(network, split).estimate is None
    logits = evaluator.execution(network, "validation")()
    estimate = AccuracyEstimate(evaluator.task, evaluator.teacher, evaluator._float_model, evaluator.reference)
    (again,) = estimate.added([measured], [estimate.measure(logits)])
    assert again.estimate == evaluation.estimate
    assert evaluator.reference.merit == evaluator.reference.accuracy


def test_graph_tasks_and_other_metrics_have_none(
    task: GraphTask, graph_task: GraphTask, float_model: mixq_rl.QuantizableModel
) -> None:
    reference, prepared = measure_reference(float_model, task), prepare_calibrated(float_model, task)
    assert AccuracyEstimate.where_known(prepared, reference) is not None
    assert mixq_rl.PostTrainingEvaluator(float_model, task).estimate is None  # float32 teaches itself
    for without in (graph_task, replace(task, metric="macro-f1")):
        assert AccuracyEstimate.where_known(replace(prepared, task=without), reference) is None
