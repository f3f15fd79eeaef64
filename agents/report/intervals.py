"""Confidence intervals of accuracies."""

from mixq_rl.agents.records.result import Finalist, RunResult
from mixq_rl.datasets.metrics import ACCURACY

__all__ = ["test_interval", "wilson_interval"]

_CONFIDENCE = 0.95


def test_interval(result: RunResult, finalist: Finalist) -> tuple[float, float] | None:
    """Return the 95 % interval of a network's test accuracy; None for a metric that is not a share of the items."""
    return wilson_interval(finalist.test_accuracy, result.counts["test"]) if result.metric is ACCURACY else None


def wilson_interval(accuracy: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy over ``count`` items, in [0, 1].

    It covers the choice of the items. It does not cover the choice of the seed or the training.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22 (1927), 209-212.

    Args:
        accuracy: fraction of the items that are classified correctly, in [0, 1].
        count: number of items; the interval of no items is (0, 1).
    """
    if count == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest  # here: its import takes most of a second, and every command imports this module

    interval = binomtest(round(accuracy * count), count).proportion_ci(_CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)
