"""Prediction of the accuracy that networks lose on unseen data, from little or no fine-tuning."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FITTED", "DropModel", "DropPrediction"]

Pair = tuple[float, float]
Matrix = tuple[Pair, Pair]


@dataclass(frozen=True)
class DropModel:
    """Joint normal distribution of two drops of the accuracy below float32, in points.

    The first is the drop on unseen data after the whole fine-tuning, the second that on validation data after a short
    one. Both depend on the divergence d of the calibrated network, before any training, as log(1 + d/0.01). Beside that
    they vary between tasks and between the allocations of a task.

    Attributes:
        level: the two drops at divergence 0.
        slope: their increase with log(1 + d/0.01).
        tasks: covariance between tasks, which all allocations of a task share.
        allocations: covariance between the allocations of a task.
    """

    level: Pair
    slope: Pair
    tasks: Matrix
    allocations: Matrix


FITTED = DropModel(
    level=(-2.43, -1.21),
    slope=(1.92, 2.01),
    tasks=((6.90, 6.80), (6.80, 7.10)),
    allocations=((4.70, 2.91), (2.91, 1.84)),
)
"""Fitted by ``benchmarks/allocate_confidence.py`` on 16 tasks: GCN and GraphSAGE on Cora, EN and generated graphs."""

CHANGED = 0.4
"""Number of answers that the whole fine-tuning changes, as a share of the number of float32's errors."""

_UNIT = 0.01


class DropPrediction:
    """Prediction of the drops of several allocations of one network on unseen data, after the whole fine-tuning.

    Each observed short fine-tuning changes the predictions of all allocations, because the drops of a task have a part
    in common. The distribution is a normal one, conditioned on what was observed.

    Args:
        divergences: mean Kullback-Leibler divergence of the answers of each calibrated network from those of float32,
            in nats, ``[allocations]``.
        error: share of wrong answers of float32 on validation data, in [0, 1].
        unseen: number of unseen items on which the drop is measured; 0: any number, so that chance plays no part.
        model: distribution of the drops.
    """

    def __init__(
        self, divergences: ArrayLike, *, error: float = 0.2, unseen: int = 0, model: DropModel = FITTED
    ) -> None:
        grown = np.log1p(np.asarray(divergences, dtype=np.float64) / _UNIT)
        self._count = len(grown)
        self._mean = np.concatenate([a + b * grown for a, b in zip(model.level, model.slope, strict=True)])
        one, all_ = np.eye(self._count), np.ones((self._count, self._count))
        self._covariance = np.kron(model.tasks, all_) + np.kron(model.allocations, one)
        self._chance = 1e4 * CHANGED * error / unseen if unseen else 0.0
        self._observed: dict[int, tuple[float, float]] = {}

    def observe(self, index: int, drop: float, variance: float) -> None:
        """Take the result of a short fine-tuning into account.

        Args:
            index: index of the allocation.
            drop: drop on validation data, in points.
            variance: variance of this drop by the choice of the validation items, in points squared.
        """
        self._observed[index] = (drop, variance)

    @property
    def observed(self) -> tuple[int, ...]:
        """Indices of the allocations whose short fine-tuning was observed, in that order."""
        return tuple(self._observed)

    def predict(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean and the standard deviation of each drop, in points, each ``[allocations]``."""
        wanted = np.arange(self._count)
        mean, covariance = self._mean[wanted], self._covariance[np.ix_(wanted, wanted)]
        if self._observed:
            known = self._count + np.array(list(self._observed))
            drops, variances = np.array(list(self._observed.values())).T
            shared = self._covariance[np.ix_(known, wanted)]
            gain = np.linalg.solve(self._covariance[np.ix_(known, known)] + np.diag(variances), shared).T
            mean = mean + gain @ (drops - self._mean[known])
            covariance = covariance - gain @ shared
        return mean, np.sqrt(np.maximum(np.diag(covariance), 0.0) + self._chance)

    def probability(self, max_drop: float) -> NDArray[np.float64]:
        """Return the probability that each allocation loses at most ``max_drop`` points, ``[allocations]``."""
        mean, deviation = self.predict()
        scores = (max_drop - mean) / np.maximum(deviation, np.finfo(np.float64).tiny)
        return np.array([0.5 * math.erfc(-score / math.sqrt(2)) for score in scores])
