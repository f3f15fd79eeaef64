from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

import mixq_rl
from mixq_rl.agents.records.result import ExpectedChange, Finalist
from mixq_rl.agents.runs.expected_change import choose, expected_change
from mixq_rl.agents.runs.finalists import fine_tune_finalists, measure_finalists
from mixq_rl.datasets import GraphTask
from mixq_rl.envs import MaxDrop, Reward, TradeOff
from mixq_rl.evaluation.protocol import Evaluation

FLOAT = Evaluation((32,), 0.8, 1600.0, 1.0, 1600.0, 1.0)
ITEMS = 400


def expected(
    correct: np.ndarray, of_float32: np.ndarray, reward: Reward, seed: int = 0, share: float | None = None
) -> ExpectedChange:
    """Return the expected change; with a share, of networks that a teacher prefers by their order."""
    float32 = Finalist("float32", replace(FLOAT, accuracy=float(of_float32.mean())), 0.5)
    rows = [
        Finalist(f"agent {place}", replace(FLOAT, accuracy=float(row.mean()), reduction=8.0), 0.5)
        for place, row in enumerate(correct)
    ]
    if share is not None:
        base = float32.evaluation.accuracy
        for place, row in enumerate(rows):
            change = share * (row.evaluation.accuracy - base) - (1 - share) * 0.01 * place
            rows[place] = replace(row, evaluation=replace(row.evaluation, estimate=base + change))
    return expected_change(rows, list(correct), of_float32, float32, reward, tested=ITEMS, seed=seed, share=share)


def drawn(networks: int, seed: int, accuracies: Sequence[float] = (0.7,)) -> np.ndarray:
    return (np.random.default_rng(seed).random((networks, ITEMS)) < np.resize(accuracies, (networks, 1))).astype(float)


@pytest.mark.parametrize("reward", [TradeOff(), MaxDrop(0.01)])
def test_the_interval_holds_the_true_change_of_the_luckiest_of_ten(reward: Reward) -> None:
    raw, corrected, inside = [], [], []
    for seed in range(40):
        float32, *networks = drawn(11, seed)
        found = expected(np.stack(networks), float32, reward)
        raw.append(max(row.mean() for row in networks) - float32.mean())
        corrected.append(found.expected)
        inside.append(found.low <= 0 <= found.high)
    # All networks are equally good: their true change is 0.
    assert np.mean(raw) > 0.03
    assert abs(np.mean(corrected)) < np.mean(raw) / 2
    assert np.mean(inside) >= 0.9


def test_the_less_validation_data_count_in_the_choice_the_less_luck_is_subtracted() -> None:
    float32, *networks = drawn(11, 0)
    correct = np.stack(networks)
    by_teacher = expected(correct, float32, TradeOff(), share=1e-9)  # which always prefers the first network
    assert by_teacher.expected == pytest.approx(networks[0].mean() - float32.mean(), abs=0.01)
    by_labels = expected(correct, float32, TradeOff(), share=1.0)
    assert by_labels.expected == pytest.approx(expected(correct, float32, TradeOff()).expected)
    assert max(row.mean() for row in networks) - float32.mean() - by_labels.expected > 0.02


def test_a_single_network_needs_no_correction() -> None:
    float32, network = drawn(2, 1, (0.8, 0.7))
    found = expected(network[None], float32, TradeOff())
    assert found.expected == pytest.approx(network.mean() - float32.mean(), abs=0.01)
    assert found.low < found.expected < found.high


def test_networks_that_answer_as_float32_change_nothing_but_are_not_certain() -> None:
    float32 = drawn(1, 0)[0]
    found = expected(np.stack([float32, float32]), float32, TradeOff())
    assert found.expected == 0
    assert found.low == pytest.approx(-found.high)
    assert 0 < found.high < 0.02


def test_the_same_seed_gives_the_same_interval() -> None:
    float32, *networks = drawn(5, 3)
    assert expected(np.stack(networks), float32, TradeOff(), 7) == expected(np.stack(networks), float32, TradeOff(), 7)


def test_the_choice_is_that_of_the_measured_finalists(
    evaluator: mixq_rl.SupernetEvaluator, float_model: mixq_rl.QuantizableModel
) -> None:
    models = fine_tune_finalists(evaluator, [("uniform 2", (2,) * 9), ("uniform 8", (8,) * 9)], seed=0)
    float32, *rows = measure_finalists(evaluator, float_model, models)
    best, change = choose(evaluator, float_model, rows, dict(models), float32, TradeOff(), seed=0)
    assert best in rows
    assert change is not None
    measured = best.evaluation.accuracy - float32.evaluation.accuracy
    assert change.low <= measured <= change.high
    assert change.expected <= measured + 1e-9


def test_another_metric_has_no_interval(
    evaluator: mixq_rl.SupernetEvaluator,
    float_model: mixq_rl.QuantizableModel,
    task: GraphTask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = [("uniform 8", evaluator.freeze((8,) * 9))]
    float32, *rows = measure_finalists(evaluator, float_model, models)
    monkeypatch.setattr(evaluator, "task", replace(task, metric="macro-f1"))
    assert choose(evaluator, float_model, rows, dict(models), float32, TradeOff(), seed=0) == (rows[0], None)
