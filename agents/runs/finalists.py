"""Finalists of a run: points of the front, fine-tuned, measured, and the best of them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from mixq_rl.agents.progress.log import logger
from mixq_rl.agents.quantities import bit_operations
from mixq_rl.agents.records.folder import finalist_path
from mixq_rl.agents.records.result import Finalist
from mixq_rl.datasets.metrics import ACCURACY, Metric
from mixq_rl.envs import Reward
from mixq_rl.errors import ArtifactError
from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.evaluation.measurement import measure_reference
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn import QuantizableModel
from mixq_rl.storage.files import replacing_folder
from mixq_rl.training.loop import Progress

__all__ = ["best_finalist", "choice", "fine_tune_finalists", "measure_finalists"]

_PREFERENCE = 0.5


def fine_tune_finalists(
    evaluator: IntegerEvaluator,
    allocations: Sequence[tuple[str, tuple[int, ...]]],
    *,
    seed: int,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> list[tuple[str, IntegerModel]]:
    """Return a fine-tuned integer model for each labelled allocation.

    Args:
        evaluator: its network is where each fine-tuning starts.
        allocations: labels and bit-widths.
        seed: seed of the fine-tuning.
        folder: folder to which each network is written when it is finished. Networks that it already holds are loaded;
            damaged ones are fine-tuned again, with a warning. None: nothing is written.
        progress: called with (epochs done, epochs in all).
    """
    models = []
    for index, (label, allocation) in enumerate(allocations):

        def report(epoch: int, epochs: int, before: int = index) -> None:
            if progress is not None:
                progress(before * epochs + epoch, len(allocations) * epochs)

        kept = None if folder is None else finalist_path(folder, label)
        model = None if kept is None else _kept(kept, allocation, evaluator.task.device)
        if model is None:
            model = evaluator.fine_tune(allocation, seed=seed, progress=report)
            if kept is not None:
                with replacing_folder(kept) as draft:
                    model.save(draft)
        models.append((label, model))
    return models


def _kept(path: Path, allocation: tuple[int, ...], device: torch.device) -> IntegerModel | None:
    if not path.exists():
        return None
    try:
        model = IntegerModel.load(path, device)
    except ArtifactError as error:
        logger.warning("finalist %s is fine-tuned again: %s", path.name, error)
        return None
    if model.allocation != allocation:
        logger.warning("finalist %s is fine-tuned again: %s holds another allocation", path.name, path)
        return None
    return model


def measure_finalists(
    evaluator: IntegerEvaluator,
    float_model: QuantizableModel,
    models: Sequence[tuple[str, IntegerModel]],
    *,
    progress: Progress | None = None,
) -> list[Finalist]:
    """Execute the float32 model and each labelled integer model on the validation and the test split.

    One call measures all models. Timed models take turns, so that other load affects all of them equally.

    Args:
        evaluator: defines the task and the number of timing repeats.
        float_model: the float32 model, which becomes the first finalist.
        models: labels and integer models of :func:`fine_tune_finalists`.
        progress: called with (networks measured, networks in all).
    """
    task = evaluator.task
    reference = measure_reference(float_model, task)
    finalists = [Finalist("float32", reference, measure_reference(float_model, task, split="test").accuracy)]
    for label, model in models:
        if progress is not None:
            progress(len(finalists), len(models) + 1)
        evaluation, tested = (evaluator.measure(model, split, timing_repeats=1) for split in ("validation", "test"))
        finalists.append(Finalist(label, evaluation, tested.accuracy))
    if evaluator.timing_repeats > 1:
        seconds = evaluator.time_together([float_model, *(model for _, model in models)])
        finalists = [
            replace(finalist, evaluation=replace(finalist.evaluation, seconds=taken))
            for finalist, taken in zip(finalists, seconds, strict=True)
        ]
    if progress is not None:
        progress(len(finalists), len(finalists))
    return finalists


def best_finalist(finalists: Sequence[Finalist], reference: Evaluation, reward: Reward) -> Finalist:
    """Return the finalist of highest reward on validation data after fine-tuning, at preference 0.5 in a trade-off.

    Networks above the limit on bit operations are excluded. The test split is not used. Choosing the cheapest network
    that still has the accuracy of float32 would select for luck on a small validation split.
    """
    allowed = [finalist for finalist in finalists if reward.allows(finalist.evaluation)]
    preference = _PREFERENCE if reward.preference is None else reward.preference
    return max(allowed, key=lambda finalist: reward(finalist.evaluation, reference, preference))


def choice(reward: Reward, metric: Metric = ACCURACY) -> str:
    """Return a description of the criterion of :func:`best_finalist`, for tables and the report."""
    if reward.max_drop is not None:
        return f"greatest saving at most {100 * reward.max_drop:g} points below float32, on validation data"
    if reward.max_bitops is not None:
        limit = bit_operations(reward.max_bitops)
        return f"highest {metric.title} with at most {limit} bit operations, on validation data"
    return "highest reward at preference 0.5, on validation data"
