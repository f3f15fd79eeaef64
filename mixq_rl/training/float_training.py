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
    """Train ``model`` in float32 and return it, with the weights of its best epoch by validation.

    The statistics of the components are measured again afterwards.

    Args:
        model: model to train, in place.
        task: task of the model. The training split gives the loss, the validation split chooses the epoch.
        seed: seed of dropout and of the order of graphs.
        schedule: training schedule; None: that of :func:`default_schedule`.
        epochs: number of epochs; None: that of the schedule.
        progress: called after each epoch.

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
