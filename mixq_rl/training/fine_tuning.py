"""Quantization-aware fine-tuning of a network at one allocation."""

import copy
from collections.abc import Sequence

from torch import Tensor

from mixq_rl.datasets import GraphInputs, GraphTask
from mixq_rl.nn import QuantizableModel
from mixq_rl.training.loop import Progress, Schedule, optimize
from mixq_rl.training.losses import Forward, batches, distilled_loss, reproducible, supervised_loss, validation_score
from mixq_rl.training.schedules import schedule_for

__all__ = ["fine_tune"]


def fine_tune(
    model: QuantizableModel,
    task: GraphTask,
    allocation: Sequence[int],
    *,
    seed: int = 0,
    schedule: Schedule | None = None,
    epochs: int | None = None,
    teacher: Tensor | None = None,
    progress: Progress | None = None,
) -> QuantizableModel:
    """Return a copy of ``model`` fine-tuned by quantization-aware training at one allocation.

    The copy is at its best epoch by validation.

    Args:
        model: calibrated at the allocation's bit-widths (a supernet); left as it is.
        task: as in :func:`fit`.
        allocation: the bit-width of each component; in force in the model returned.
        seed: of dropout and of the order of graphs.
        schedule: None: that of :func:`default_schedule`.
        epochs: None: those of the schedule.
        teacher: what :func:`class_probabilities` gives for the float model, to be distilled from; None: labels only.
        progress: told after each epoch.
    """
    schedule = schedule_for("fine-tune", task, schedule, epochs)
    model = copy.deepcopy(model)
    model.allocation = tuple(allocation)
    forward = Forward(model, task)

    def loss(inputs: GraphInputs) -> Tensor:
        logits = forward(inputs)
        if teacher is None:
            return supervised_loss(logits, inputs)
        return distilled_loss(logits, inputs, teacher, schedule.label_weight)

    with reproducible(task, seed):
        optimize(
            model, schedule, batches(task, schedule, seed), loss, lambda: validation_score(forward, task), progress
        )
    return model
