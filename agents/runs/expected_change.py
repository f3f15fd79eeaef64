"""Choice of the best network, and the change against float32 on test data that validation labels lead to expect."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mixq_rl.agents.records.result import ExpectedChange, Finalist
from mixq_rl.agents.runs.finalists import best_finalist
from mixq_rl.datasets import GraphTask
from mixq_rl.datasets.metrics import ACCURACY
from mixq_rl.envs import Reward
from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.evaluation.measurement import float_execution
from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn import QuantizableModel

__all__ = ["choose", "expected_change"]

Vector = npt.NDArray[np.float64]

_RESAMPLES = 400
_QUANTILE = 1.959964  # of the standard normal distribution, at 97.5 %


def choose(
    evaluator: IntegerEvaluator,
    model: QuantizableModel,
    allowed: Sequence[Finalist],
    networks: Mapping[str, IntegerModel],
    float32: Finalist,
    reward: Reward,
    *,
    seed: int,
) -> tuple[Finalist, ExpectedChange | None]:
    """Return the best finalist, and its expected change; None for a metric that is not a share of the items.

    Finalists that have an estimate of the accuracy are compared by it.

    Args:
        evaluator: evaluator of the networks.
        model: the float32 network.
        allowed: the finalists that may be chosen.
        networks: their integer networks, by label.
        float32: the finalist of the float32 network.
        reward: reward of the choice.
        seed: seed of the bootstrap.
    """
    best, task = best_finalist(allowed, float32.evaluation, reward), evaluator.task
    if task.measure is not ACCURACY:
        return best, None
    executed = [evaluator.execution(networks[finalist.label], "validation")() for finalist in allowed]
    correct = [_correct(logits.dequantize(), task) for logits in executed]
    of_float32 = _correct(float_execution(model, task, "validation")(), task)
    tested = int(task.masks["test"].sum())
    share = None if evaluator.estimate is None else evaluator.estimate.share
    return best, expected_change(allowed, correct, of_float32, float32, reward, tested=tested, seed=seed, share=share)


def expected_change(
    finalists: Sequence[Finalist],
    correct: Sequence[Vector],
    of_float32: Vector,
    float32: Finalist,
    reward: Reward,
    *,
    tested: int,
    seed: int,
    share: float | None = None,
) -> ExpectedChange:
    """Return the expected change of the best finalist's accuracy against float32 on a test split, with its interval.

    The best of several networks is partly the luckiest on the validation items. A bootstrap over these items repeats
    the choice (:func:`~mixq_rl.agents.runs.finalists.best_finalist`). How much better the chosen network is on average
    on the drawn items than on all of them is subtracted. The interval covers the choice of the validation items and of
    ``tested`` test items, by the variance of the paired differences.

    Source: B. Efron, "Estimating the error rate of a prediction rule", Journal of the American Statistical Association
    78 (1983), 316-331, for the bootstrap estimate of optimism.

    Args:
        finalists: the networks that may be chosen.
        correct: for each of them, whether each validation item is classified correctly, as 0 or 1, ``[items]``.
        of_float32: the same for the float32 network.
        float32: the finalist of the float32 network.
        reward: reward of the choice.
        tested: number of items of the test split.
        seed: seed of the bootstrap.
        share: weight of the change in validation accuracy in the finalists' estimates; None: they have none. The
            teacher's part of an estimate does not depend on the drawn items.
    """
    changes = np.stack(correct) - of_float32
    count = changes.shape[1]
    places = {finalist.label: place for place, finalist in enumerate(finalists)}
    means = changes.mean(axis=1)

    def chosen(drawn: Vector, float_accuracy: float) -> int:
        """Return the place of the best finalist, given the changes and the accuracy of float32."""
        base = replace(float32.evaluation, accuracy=float_accuracy)
        luck = float_accuracy - float32.evaluation.accuracy + (1.0 if share is None else share) * (drawn - means)
        rows = [
            replace(each, evaluation=replace(each.evaluation, estimate=each.evaluation.merit + float(lucky)))
            for each, lucky in zip(finalists, luck, strict=True)
        ]
        return places[best_finalist(rows, base, reward).label]

    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=_RESAMPLES) / count
    optimism = 0.0
    for drawn, float_accuracy in zip(weights @ changes.T, weights @ of_float32, strict=True):
        place = chosen(drawn, float(float_accuracy))
        optimism += float(drawn[place] - means[place]) / _RESAMPLES
    best = places[best_finalist(finalists, float32.evaluation, reward).label]
    expected = min(max(float(means[best]) - optimism, -1.0), 1.0)
    # 1 / count: the variance is not 0 where no validation item tells the networks apart.
    width = _QUANTILE * np.sqrt((changes[best].var() + 1 / count) * (1 / count + 1 / tested))
    return ExpectedChange(expected, max(expected - float(width), -1.0), min(expected + float(width), 1.0))


def _correct(logits: Tensor, task: GraphTask) -> Vector:
    """Return whether each validation item is classified correctly, as 0 or 1."""
    mask = task.masks["validation"]
    correct = (logits[mask] if task.kind == "node" else logits).argmax(dim=1) == task.y[mask]
    found: Vector = correct.double().cpu().numpy()
    return found
