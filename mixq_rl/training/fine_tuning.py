"""Quantization-aware fine-tuning of a network at one allocation."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from mixq_rl.datasets import GraphInputs, GraphTask, Split
from mixq_rl.nn import QuantizableModel
from mixq_rl.training.batch_statistics import estimate_statistics
from mixq_rl.training.dropout import fading_dropout
from mixq_rl.training.loop import Progress, Schedule, Score, optimize
from mixq_rl.training.losses import Forward, batches, distilled_loss, reproducible, supervised_loss, validation_score
from mixq_rl.training.schedules import schedule_for
from mixq_rl.training.weight_decay import undecayed

__all__ = ["fine_tune"]


def fine_tune(
    model: QuantizableModel,
    task: GraphTask,
    allocation: Sequence[int] | None,
    *,
    seed: int = 0,
    schedule: Schedule | None = None,
    epochs: int | None = None,
    teacher: Tensor | None = None,
    progress: Progress | None = None,
    keep_better: bool = True,
) -> QuantizableModel:
    """Return a copy of ``model`` fine-tuned by quantization-aware training at one allocation.

    With a cosine schedule the weights of the copy are those of the last epoch, or, with ``keep_better``, those before
    the training if they score higher: on validation nodes, or on the training and validation graphs together, because
    few validation graphs would decide by luck (docs/results.md). The best of all epochs would mostly be the luckiest
    one on these data (benchmarks/choice_figures.py). With a plateau schedule they are those of the best epoch by
    validation. Dropout fades out during the training. Weights of 1 and 2 bits have no weight decay. Batch normalisation
    uses the statistics of the batches; at the start it gets those that the network has at the allocation.

    Args:
        model: model with calibrated scales for the allocation's bit-widths, such as a supernet; not changed.
        task: as in :func:`fit`.
        allocation: the bit-width of each component, which becomes the allocation of the returned model; None: float32.
        seed: seed of dropout and of the order of graphs.
        schedule: training schedule; None: that of :func:`default_schedule`.
        epochs: number of epochs; None: that of the schedule.
        teacher: class probabilities that the network learns, as of :func:`distillation_targets`;
            None: labels only.
        progress: called after each epoch.
        keep_better: whether weights that score higher before the training are kept.
    """
    schedule = schedule_for("fine-tune", task, schedule, epochs)
    model = copy.deepcopy(model)
    model.allocation = None if allocation is None else tuple(allocation)
    forward = Forward(model, task)

    def loss(inputs: GraphInputs) -> Tensor:
        logits = forward(inputs)
        if teacher is None:
            return supervised_loss(logits, inputs)
        return distilled_loss(logits, inputs, teacher, schedule.label_weight)

    @torch.no_grad()
    def validate() -> Score:
        model.eval()
        return validation_score(forward, task)

    settles = schedule.decay == "cosine"
    with reproducible(task, seed), fading_dropout(model, progress) as fade:
        if allocation is not None:
            estimate_statistics(model, task)
        start = copy.deepcopy(model.state_dict())
        before = _judgement(model, forward, task) if settles and keep_better else None
        drawn = batches(task, schedule, seed, every=teacher is not None)
        optimize(model, schedule, drawn, loss, None if settles else validate, fade, undecayed(model))
        if before is not None and before > _judgement(model, forward, task):
            model.load_state_dict(start)
    return model


@torch.no_grad()
def _judgement(model: QuantizableModel, forward: Forward, task: GraphTask) -> float:
    """Return the mean score of the nodes or graphs that decide whether the weights before the training are kept."""
    model.eval()
    splits: tuple[Split, ...] = ("train", "validation") if task.kind == "graph" else ("validation",)
    total = sum(int(task.masks[split].sum()) * task.score(forward(task.inputs(split)), split) for split in splits)
    return total / sum(int(task.masks[split].sum()) for split in splits)
