from dataclasses import replace

import torch

from mixq_rl.datasets import GraphTask, load_task
from mixq_rl.datasets.imbalance import imbalance_warning
from mixq_rl.datasets.splits import fraction_split


def test_a_class_of_most_nodes_is_warned_of_unless_the_metric_weighs_classes() -> None:
    y = (torch.arange(100) < 5).long()
    task = GraphTask(
        "rare", torch.eye(100), torch.zeros(2, 0).long(), y, fraction_split(100, train=0.4, validation=0.3, seed=0)
    )
    warning = imbalance_warning(task)
    assert warning is not None
    assert warning.startswith("95 % of the nodes of rare have one class")
    assert "\n" not in warning
    assert imbalance_warning(replace(task, metric="roc-auc")) is None
    assert imbalance_warning(replace(task, y=torch.arange(100) % 2)) is None


def test_several_labels_are_not_warned_of() -> None:
    assert imbalance_warning(load_task("topics")) is None
