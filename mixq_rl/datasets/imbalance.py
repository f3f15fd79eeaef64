"""Warning about classes of very different sizes."""

import torch

from mixq_rl.datasets.metrics import ACCURACY
from mixq_rl.datasets.task import GraphTask

__all__ = ["imbalance_warning"]

_GREATEST_SHARE = 0.8


def imbalance_warning(task: GraphTask) -> str | None:
    """Return a warning, in one line, if over 80 % of the labelled rows have one class and the metric is accuracy."""
    if task.measure is not ACCURACY:
        return None
    share = ACCURACY.constant(task.y[torch.stack(list(task.masks.values())).any(dim=0)])
    if share <= _GREATEST_SHARE:
        return None
    return (
        f"{100 * share:.0f} % of the {task.kind}s of {task.name} have one class, which accuracy rewards always "
        "predicting: consider the metric balanced-accuracy, macro-f1 or roc-auc"
    )
