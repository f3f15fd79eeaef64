"""Training of a supernet: one set of weights for all allocations."""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from mixq_rl.datasets import GraphInputs, GraphTask
from mixq_rl.nn import QuantizableModel
from mixq_rl.quantization import Scheme, schemes
from mixq_rl.training.batch_statistics import estimate_statistics
from mixq_rl.training.calibration import calibrate
from mixq_rl.training.loop import Progress, Schedule, optimize
from mixq_rl.training.losses import Forward, batches, distillation_targets, distilled_loss, reproducible
from mixq_rl.training.schedules import schedule_for

__all__ = ["fit_supernet"]


def fit_supernet(
    model: QuantizableModel,
    task: GraphTask,
    bit_widths: Sequence[int],
    *,
    scheme: Scheme = schemes["lsq"],
    teacher: Tensor | None = None,
    seed: int = 0,
    schedule: Schedule | None = None,
    epochs: int | None = None,
    progress: Progress | None = None,
) -> QuantizableModel:
    """Train one set of weights that works at any allocation, starting from a float-trained model, and return the model.

    Every step sums the losses of the highest, the lowest and two random allocations (the sandwich rule of universally
    slimmable networks, Yu and Huang 2019), each against the labels and against the float model's predictions. Batch
    normalisation uses the statistics of each batch. One set of running statistics cannot serve all allocations: in the
    end they are those of the highest one, and evaluators measure those of each allocation anew.

    Args:
        model: float-trained model; changed in place.
        task: as in :func:`fit`.
        bit_widths: bit-widths on offer, each within 1...8.
        scheme: how scales are found, and whether they are learned.
        teacher: targets of distillation; None: :func:`distillation_targets` of ``model`` before the training.
        seed: seed of dropout, of the order of graphs, and of the random allocations.
        schedule: training schedule; None: that of :func:`default_schedule`.
        epochs: number of epochs; None: that of the schedule.
        progress: called after each epoch.

    Returns:
        ``model``, with a calibrated and trained scale for each component and bit-width.

    Raises:
        BitWidthError: for a bit-width outside 1...8.
        SumOverflowError: if an int32 sum might overflow at the lowest bit-width.
    """
    schedule = schedule_for("supernet", task, schedule, epochs)
    target = distillation_targets(model, task) if teacher is None else teacher
    offered = calibrate(model, task, bit_widths, scheme)
    forward, count, draw = Forward(model, task), len(model.quantizers), random.Random(seed)

    def loss(inputs: GraphInputs) -> Tensor:
        allocations = [[offered[-1]] * count, [offered[0]] * count]
        allocations += [[draw.choice(offered) for _ in range(count)] for _ in range(2)]
        total = torch.zeros((), device=task.device)
        for allocation in allocations:
            with model.allocated(allocation):
                total = total + distilled_loss(forward(inputs), inputs, target, schedule.label_weight)
        return total / len(allocations)

    with reproducible(task, seed):
        optimize(model, schedule, batches(task, schedule, seed, every=True), loss, None, progress)
        with model.allocated([offered[-1]] * count):
            estimate_statistics(model, task)
    return model
