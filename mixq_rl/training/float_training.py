"""Training in float32."""

from mixq_rl.datasets import GraphTask
from mixq_rl.nn import QuantizableModel
from mixq_rl.training.loop import Progress, Schedule, optimize
from mixq_rl.training.losses import Forward, batches, reproducible, supervised_loss, validation_score
from mixq_rl.training.schedules import schedule_for

__all__ = ["fit"]


def fit(
    model: QuantizableModel,
    task: GraphTask,
    *,
    seed: int = 0,
    schedule: Schedule | None = None,
    epochs: int | None = None,
    progress: Progress | None = None,
) -> QuantizableModel:
    """Train ``model`` in float32 and leave it at its best epoch by validation.

    The components are measured anew afterwards.

    Args:
        model: is changed in place.
        task: its training split gives the loss, its validation split chooses the epoch.
        seed: of dropout and of the order of graphs.
        schedule: None: that of :func:`default_schedule`.
        epochs: None: those of the schedule.
        progress: told after each epoch.

    Returns:
        ``model``.
    """
    schedule = schedule_for("float", task, schedule, epochs)
    forward = Forward(model, task)
    with reproducible(task, seed), model.allocated(None):
        optimize(
            model,
            schedule,
            batches(task, schedule, seed),
            lambda inputs: supervised_loss(forward(inputs), inputs),
            lambda: validation_score(forward, task),
            progress,
        )
    inputs = task.calibration_inputs
    model.observe(inputs.x, inputs.graph)
    return model
