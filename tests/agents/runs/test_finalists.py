from dataclasses import replace
from pathlib import Path

import pytest

import mixq_rl
from mixq_rl.agents.pareto import ParetoArchive, pareto_front
from mixq_rl.agents.records.result import Finalist
from mixq_rl.agents.runs.finalists import best_finalist, fine_tune_finalists, measure_finalists, mixed_finalists
from mixq_rl.datasets import GraphTask
from mixq_rl.envs import MaxBitOps, MaxDrop, TradeOff
from mixq_rl.evaluation.measurement import measure_reference
from mixq_rl.evaluation.objective import LATENCY
from mixq_rl.evaluation.protocol import Evaluation

FLOAT = Evaluation((32,), 0.8, 1600.0, 1.0, 1600.0, 1.0)


def finalist(reduction: float, accuracy: float, test: float) -> Finalist:
    return Finalist(f"agent {reduction}", replace(FLOAT, reduction=reduction, accuracy=accuracy), test)


def test_best_has_the_highest_reward_on_validation_whatever_the_test_says() -> None:
    # One octave of reduction is worth 2.5 points of accuracy: 1/4 against 0.1 / 0.1.
    rows = [finalist(4, 0.81, 0.9), finalist(8, 0.79, 0.1), finalist(16, 0.76, 0.9)]
    assert best_finalist(rows, FLOAT, TradeOff()) is rows[1]
    assert best_finalist([rows[0], finalist(8, 0.78, 0.9)], FLOAT, TradeOff()) is rows[0]


def test_best_has_the_highest_reward_by_estimates_where_there_are_any() -> None:
    rows = [finalist(4, 0.81, 0.9), finalist(8, 0.79, 0.1)]
    estimated = [
        replace(row, evaluation=replace(row.evaluation, estimate=estimate))
        for row, estimate in zip(rows, (0.81, 0.78), strict=True)
    ]
    assert best_finalist(rows, FLOAT, TradeOff()) is rows[1]
    assert best_finalist(estimated, FLOAT, TradeOff()) is estimated[0]


def test_best_goes_by_speed_up_where_latency_is_the_objective() -> None:
    reference = replace(FLOAT, seconds=0.008)
    fast, slow = (
        replace(finalist(reduction, 0.79, 0.5), evaluation=replace(FLOAT, reduction=reduction, seconds=seconds))
        for reduction, seconds in ((4, 0.001), (16, 0.004))
    )
    assert best_finalist([fast, slow], reference, TradeOff(LATENCY)) is fast
    assert best_finalist([fast, slow], reference, TradeOff()) is slow


def test_best_keeps_the_limits() -> None:
    rows = [finalist(4, 0.81, 0.9), finalist(8, 0.79, 0.9), finalist(16, 0.76, 0.9)]
    rows = [
        replace(row, evaluation=replace(row.evaluation, bitops=FLOAT.bitops / row.evaluation.reduction)) for row in rows
    ]
    assert best_finalist(rows, FLOAT, MaxDrop(0.02)) is rows[1]
    assert best_finalist(rows, FLOAT, MaxDrop(0.0)) is rows[0]
    assert best_finalist(rows, FLOAT, MaxBitOps(250)) is rows[1]


def test_finalists_are_of_the_front_and_of_its_gaps_without_uniform_ones() -> None:
    def point(reduction: float, accuracy: float, *allocation: int) -> Evaluation:
        return replace(FLOAT, allocation=allocation, reduction=reduction, accuracy=accuracy)

    evaluations = [
        point(25, 0.6, 1, 2),
        point(20, 0.6, 2, 1),
        point(4, 0.9, 8, 8),
        point(9, 0.8, 4, 2),
        point(8, 0.85, 4, 4),
        point(32, 0.65, 1, 1),
        point(16, 0.5, 2, 2),
        point(5, 0.7, 8, 4),
    ]
    uniform = [(8, 8), (4, 4), (2, 2), (1, 1)]
    found = mixed_finalists(evaluations, uniform, ParetoArchive(0.1))
    # The front has 4, 8, 9 and 32 times. In the gap from 9 to 32, 20 and 25 times are equal, and 25 was first.
    assert [each.reduction for each in found] == [9, 20, 25]


def test_finalists_are_fine_tuned_and_executed_on_integers(
    evaluator: mixq_rl.SupernetEvaluator, float_model: mixq_rl.QuantizableModel, task: GraphTask
) -> None:
    tuned: list[tuple[int, int]] = []
    measured: list[tuple[int, int]] = []
    models = fine_tune_finalists(
        evaluator,
        [("a", (2,) * 9), ("b", (8,) * 9)],
        seed=0,
        progress=lambda done, total: tuned.append((done, total)),
    )
    float32, *rows = measure_finalists(
        evaluator, float_model, models, progress=lambda done, total: measured.append((done, total))
    )
    assert [row.label for row in rows] == ["a", "b"]
    for row, (_, model) in zip(rows, models, strict=True):
        logits = model(task.x, task.edge_index)
        assert row.evaluation.accuracy == task.accuracy(logits, "validation")
        assert row.test_accuracy == task.accuracy(logits, "test")
    logits = float_model(task.x, task.edge_index)
    assert float32.label == "float32"
    assert float32.evaluation.accuracy == task.accuracy(logits, "validation")
    assert float32.test_accuracy == task.accuracy(logits, "test")
    (before,) = evaluator.evaluate([(2,) * 9])
    assert rows[0].evaluation.accuracy >= before.accuracy
    assert tuned[-1][0] == tuned[-1][1] == len(tuned)
    assert measured == [(1, 3), (2, 3), (3, 3)]
    assert pareto_front(row.evaluation for row in rows)


def test_finalists_of_a_graph_task_are_measured_on_the_graphs_of_each_split(graph_task: GraphTask) -> None:
    model = mixq_rl.build_model("gcn", graph_task, hidden_channels=8, num_layers=2)
    evaluator = mixq_rl.PostTrainingEvaluator(model, graph_task, bit_widths=(8,))
    frozen = evaluator.freeze((8,) * len(evaluator.components))
    float32, row = measure_finalists(evaluator, model, [("uniform 8", frozen)])
    for split, accuracy in (("validation", row.evaluation.accuracy), ("test", row.test_accuracy)):
        inputs = graph_task.inputs(split)
        logits = frozen(inputs.x, inputs.graph.edge_index, batch=inputs.graph.batch)
        assert accuracy == graph_task.accuracy(logits, split)
    assert float32.test_accuracy == measure_reference(model, graph_task, split="test").accuracy
    assert row.evaluation.reduction == float32.evaluation.bitops / row.evaluation.bitops


def test_one_flipped_bit_has_a_network_fine_tuned_again(
    evaluator: mixq_rl.SupernetEvaluator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labelled = [("uniform 2", (2,) * 9)]
    ((_, first),) = fine_tune_finalists(evaluator, labelled, seed=0, folder=tmp_path)
    file = tmp_path / "uniform-2" / "integer_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with caplog.at_level("WARNING", logger="mixq_rl"):
        ((_, again),) = fine_tune_finalists(evaluator, labelled, seed=0, folder=tmp_path)
    assert "finalist uniform-2 is fine-tuned again: " in caplog.text
    assert "its files are not as they were written" in caplog.text
    assert file.read_bytes() == whole
    assert again.allocation == first.allocation
