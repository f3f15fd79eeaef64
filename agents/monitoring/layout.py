"""Layout of TensorBoard's tab of custom scalars."""

import re
from collections.abc import Sequence

from mixq_rl.datasets.metrics import ACCURACY, Metric

__all__ = ["layout"]


def layout(components: Sequence[str], metric: Metric = ACCURACY) -> dict[str, dict[str, list[str]]]:
    """Return tags by category and chart, as regular expressions.

    Args:
        components: names such as ``"conv1.weight"``. Components of one layer share a chart.
        metric: the measure of the task.
    """
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in components))
    return {
        "search": {
            "reward": ["search/reward_mean", "search/reward_best"],
            "hypervolume": ["search/hypervolume"],
            metric.title: [f"search/{metric.name}"],
            "saving (×)": ["search/reduction", "search/speed_up", "search/size_reduction"],
            "evaluations": ["search/evaluations$", "search/cache_hits"],
            "evaluations per second": ["search/evaluations_per_second"],
        },
        "bits by layer": {layer or "network": [_of("bits", layer)] for layer in layers},
        "kernel time by layer (ms)": {layer or "network": [_of("kernel_time", layer)] for layer in layers},
        "learning": {
            "policy entropy": ["train/policy_entropy"],
            "losses": ["train/loss", "train/policy_gradient_loss", "train/value_loss"],
            "change of the policy": ["train/approx_kl", "train/clip_fraction"],
        },
    }


def _of(group: str, layer: str) -> str:
    """Return the pattern of a layer's tags. Without a layer: of components that belong to the network itself."""
    return rf"{group}/{re.escape(layer)}\." if layer else rf"{group}/[^.]*$"
