"""Default schedules of float training, supernets and fine-tuning."""

from dataclasses import replace
from typing import Literal

from mixq_rl.datasets import GraphTask
from mixq_rl.training.loop import Schedule

__all__ = ["Purpose", "default_schedule", "schedule_for", "shortened"]

Purpose = Literal["float", "supernet", "fine-tune"]

# Weights of a supernet do not decay: decay costs most where they are quantized to few bits (docs/results.md).
_NODE_SCHEDULES: dict[Purpose, Schedule] = {
    "float": Schedule(epochs=200, learning_rate=0.01),
    "supernet": Schedule(epochs=150, learning_rate=5e-3, weight_decay=0.0),
    "fine-tune": Schedule(epochs=100, learning_rate=0.01, scale_learning_rate=2e-2),
}
# On node tasks distillation covers all nodes. Beside it a few labels mainly overfit, while many labels correct the
# float model (benchmarks/fine_tuning.py).
_FEW_LABELS = 0.1
_GRAPH = Schedule(epochs=400, learning_rate=3e-3, weight_decay=1e-4, batch_size=32, label_weight=1.0)
_GRAPH_SCHEDULES: dict[Purpose, Schedule] = {
    "float": replace(_GRAPH, epochs=200),
    "supernet": _GRAPH,
    "fine-tune": replace(_GRAPH, learning_rate=5e-3, scale_learning_rate=3e-2),
}
_GRAPH_STEPS: dict[Purpose, int] = {"float": 2000, "supernet": 1200, "fine-tune": 900}
_SAMPLED_STEPS: dict[Purpose, int] = {"float": 1000, "supernet": 300, "fine-tune": 200}


def default_schedule(purpose: Purpose, task: GraphTask) -> Schedule:
    """Return the default training schedule.

    On graph tasks the number of epochs gives 2000 (float), 1200 (supernet) or 900 (fine-tune) steps, but is at most 200
    (float) or 400. On node tasks it is 200, 150 or 100; with mini-batches at most that, and no more than gives 1000,
    300 or 200 steps. On node tasks the label weight of fine-tuning is the number of training nodes over the number of
    all other nodes, within 0.1...1. Mini-batches of the task give the batch size.

    Args:
        purpose: ``"float"``, ``"supernet"`` or ``"fine-tune"``.
        task: task of the training.
    """
    schedule = (_GRAPH_SCHEDULES if task.kind == "graph" else _NODE_SCHEDULES)[purpose]
    if task.mini_batches is not None:
        schedule = replace(schedule, batch_size=task.mini_batches.batch_size)
    if task.kind == "node" and purpose == "fine-tune":
        schedule = replace(schedule, label_weight=_label_weight(task))
    if task.kind == "node" and task.mini_batches is None:
        return schedule
    steps = (_GRAPH_STEPS if task.kind == "graph" else _SAMPLED_STEPS)[purpose]
    of_epoch = task.steps_of_epoch(schedule.batch_size, every=purpose != "float")
    return schedule.lasting(min(schedule.epochs, -(-steps // of_epoch)))


def schedule_for(purpose: Purpose, task: GraphTask, schedule: Schedule | None, epochs: int | None) -> Schedule:
    """Return ``schedule``, or the default schedule for None, with ``epochs`` epochs if that is given."""
    return (schedule or default_schedule(purpose, task)).lasting(epochs)


def shortened(epochs: int, task: GraphTask) -> int:
    """Return the number of epochs of a short fine-tuning: ``epochs``, with mini-batches of nodes at most 1/5 of all."""
    if task.kind == "graph" or task.mini_batches is None:
        return epochs
    return min(epochs, -(-default_schedule("fine-tune", task).epochs // 5))


def _label_weight(task: GraphTask) -> float:
    """Return the label weight of fine-tuning on a node task."""
    labelled = int(task.masks["train"].sum())
    return min(max(labelled / max(task.num_nodes - labelled, 1), _FEW_LABELS), 1.0)
