"""Schedules of float training, the supernet and fine-tuning."""

from dataclasses import replace
from typing import Literal

from mixq_rl.datasets import GraphTask
from mixq_rl.training.loop import Schedule

__all__ = ["Purpose", "default_schedule", "schedule_for"]

Purpose = Literal["float", "supernet", "fine-tune"]

_NODE_SCHEDULES: dict[Purpose, Schedule] = {
    "float": Schedule(epochs=200, learning_rate=0.01),
    "supernet": Schedule(epochs=150, learning_rate=5e-3),
    "fine-tune": Schedule(epochs=100, learning_rate=0.01, scale_learning_rate=2e-2),
}
# On node tasks the float model answers for all nodes: beside its predictions few labels mainly overfit; many tell what
# it does not know (benchmarks/label_weight.py).
_FEW_LABELS = 0.1
_GRAPH = Schedule(epochs=400, learning_rate=3e-3, weight_decay=1e-4, batch_size=32, label_weight=1.0)
_GRAPH_SCHEDULES: dict[Purpose, Schedule] = {
    "float": replace(_GRAPH, epochs=200),
    "supernet": _GRAPH,
    "fine-tune": replace(_GRAPH, learning_rate=5e-3, scale_learning_rate=3e-2),
}
_GRAPH_STEPS: dict[Purpose, int] = {"float": 2000, "supernet": 1200, "fine-tune": 900}


def default_schedule(purpose: Purpose, task: GraphTask) -> Schedule:
    """Return what training goes by unless told otherwise.

    Args:
        purpose: ``"float"``, ``"supernet"`` or ``"fine-tune"``.
        task: on graph tasks the epochs are as many as give 2000, 1200 or 900 steps, at most 200 or (quantized) 400. On
            node tasks labels weigh more in fine-tuning where more nodes have them: as those that have to those that
            have not, within 0.1...1.
    """
    if task.kind == "node":
        schedule = _NODE_SCHEDULES[purpose]
        return replace(schedule, label_weight=_label_weight(task)) if purpose == "fine-tune" else schedule
    schedule = _GRAPH_SCHEDULES[purpose]
    steps_of_epoch = -(-int(task.masks["train"].sum()) // schedule.batch_size)
    return schedule.lasting(min(schedule.epochs, -(-_GRAPH_STEPS[purpose] // steps_of_epoch)))


def schedule_for(purpose: Purpose, task: GraphTask, schedule: Schedule | None, epochs: int | None) -> Schedule:
    """Return the schedule that was given, or the default one, with the number of epochs that was given."""
    return (schedule or default_schedule(purpose, task)).lasting(epochs)


def _label_weight(task: GraphTask) -> float:
    """Return the weight of node labels: of graph tasks, where all that is taught is labelled, it is 1."""
    labelled = int(task.masks["train"].sum())
    return min(max(labelled / max(task.num_nodes - labelled, 1), _FEW_LABELS), 1.0)
