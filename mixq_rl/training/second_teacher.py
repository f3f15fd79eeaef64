"""The teacher of quantized networks on node tasks: a float network that learned from the float-trained one."""

from collections.abc import Callable

from torch import Tensor

from mixq_rl.datasets import GraphTask
from mixq_rl.nn import QuantizableModel
from mixq_rl.training.fine_tuning import fine_tune
from mixq_rl.training.loop import Progress, trainable_weights
from mixq_rl.training.losses import distillation_targets

__all__ = ["second_teacher"]


def second_teacher(
    model: QuantizableModel,
    task: GraphTask,
    *,
    seed: int = 0,
    epochs: int | None = None,
    progress: Progress | None = None,
    targets: Callable[[QuantizableModel, GraphTask], Tensor] = distillation_targets,
) -> Tensor:
    """Return the class probabilities of a float network that was fine-tuned on those of ``model``.

    A network that learns from one of its own size is often better than it (born-again networks, Furlanello et al.,
    ICML 2018), and teaches networks of 2 to 8 bits better (docs/results.md). On graph tasks, where only the graphs with
    labels teach, and if all weights are frozen, the probabilities are those of ``model``.

    Args:
        model: float-trained model; not changed.
        task: as in :func:`fit`.
        seed: seed of the fine-tuning.
        epochs: number of epochs; None: that of the default schedule.
        progress: called after each epoch.
        targets: returns the probabilities that a network teaches. It is called for ``model``, which teaches the second
            network, and for the second network.

    Returns:
        as :func:`distillation_targets` does.
    """
    first = targets(model, task)
    if task.kind == "graph" or not trainable_weights(model):
        return first
    student = fine_tune(
        model, task, None, teacher=first, seed=seed, epochs=epochs, progress=progress, keep_better=False
    )
    return targets(student, task)
