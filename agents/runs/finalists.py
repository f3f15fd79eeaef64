"""Finalists of a run: allocations of the search, fine-tuned, measured, and the best of them."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from mixq_rl.agents.pareto import ParetoArchive, bridge, pareto_front, spread
from mixq_rl.agents.progress.log import logger
from mixq_rl.agents.quantities import bit_operations
from mixq_rl.agents.records.folder import finalist_path
from mixq_rl.agents.records.result import Finalist
from mixq_rl.datasets.metrics import ACCURACY, Metric
from mixq_rl.envs import Limits, Reward
from mixq_rl.errors import ArtifactError
from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.evaluation.measurement import measure_reference
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.evaluation.ray_evaluator import RayEvaluator
from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn import QuantizableModel
from mixq_rl.storage.files import replacing_folder
from mixq_rl.training.loop import Progress

__all__ = [
    "best_finalist",
    "choice",
    "fine_tune_finalists",
    "measure_finalists",
    "mixed_finalists",
    "uniform_finalists",
]

_PREFERENCE = 0.5
_MOST = 12


def uniform_finalists(bit_widths: Sequence[int], limits: Limits) -> list[tuple[str, tuple[int, ...]]]:
    """Return the labelled allocations of one bit-width everywhere, the highest first.

    A component that may not have the bit-width has the nearest that it may have. An allocation that exceeds a limit is
    in the table for comparison, and never chosen; one that cannot be executed is left out, with a line in the log.
    """
    executable = replace(limits, budgets=()).uniform
    for bits in bit_widths:
        if bits not in executable:
            logger.info("no network of %d bits everywhere: it cannot be executed, or is that of other bits", bits)
    return [(f"uniform {bits}", executable[bits]) for bits in reversed(bit_widths) if bits in executable]


def mixed_finalists(
    evaluations: Sequence[Evaluation], uniform: Collection[tuple[int, ...]], archive: ParetoArchive
) -> list[Evaluation]:
    """Return at most twelve points of the front, and of its gaps if it has fewer points, by ascending saving.

    Args:
        evaluations: evaluations of the search that keep the limits, in its order.
        uniform: allocations of one bit-width everywhere: they are finalists anyway, and not returned.
        archive: archive of the search, with its saving.
    """
    mixed = [evaluation for evaluation in evaluations if evaluation.allocation not in uniform]
    front = pareto_front(evaluations, archive.saving)
    ends = [point for point in front if point.allocation in uniform]
    points = spread(
        [point for point in front if point.allocation not in uniform], _MOST, archive.reference_accuracy, archive.saving
    )
    bridged = bridge([*points, *ends], mixed, _MOST + len(ends), archive.saving)
    return [point for point in bridged if point.allocation not in uniform]


def fine_tune_finalists(
    evaluator: IntegerEvaluator,
    allocations: Sequence[tuple[str, tuple[int, ...]]],
    *,
    seed: int,
    folder: Path | None = None,
    progress: Progress | None = None,
    workers: RayEvaluator | None = None,
) -> list[tuple[str, IntegerModel]]:
    """Return a fine-tuned integer model for each labelled allocation.

    Args:
        evaluator: its network is where each fine-tuning starts.
        allocations: labels and bit-widths.
        seed: seed of the fine-tuning.
        folder: folder to which each network is written when it is finished. Networks that it already holds are loaded;
            damaged ones are fine-tuned again, with a warning. None: nothing is written.
        progress: called with (epochs done, epochs in all), with workers with (networks finished, networks in all).
        workers: the evaluator with its workers, which fine-tune several networks at a time, with the same result.
            None: this process fine-tunes one after another.

    Raises:
        EvaluationError: if the fine-tuning of a network by workers fails three times, or no worker is left.
    """
    told: Progress = progress or (lambda done, total: None)
    models: dict[str, IntegerModel] = {}
    for label, allocation in allocations:
        model = None if folder is None else _kept(finalist_path(folder, label), allocation, evaluator.task.device)
        if model is not None:
            models[label] = model
    missing = [(label, allocation) for label, allocation in allocations if label not in models]
    tuned = _one_by_one(evaluator, missing, seed, told, len(models)) if workers is None else _by(workers, missing, seed)
    for label, model in tuned:
        models[label] = model
        if folder is not None:
            with replacing_folder(finalist_path(folder, label)) as draft:
                model.save(draft)
        if workers is not None:
            told(len(models), len(allocations))
    return [(label, models[label]) for label, _ in allocations]


def _one_by_one(
    evaluator: IntegerEvaluator, labelled: Sequence[tuple[str, tuple[int, ...]]], seed: int, told: Progress, before: int
) -> Iterator[tuple[str, IntegerModel]]:
    """Yield the label and the model of each network, after ``before`` networks that are finished already."""
    for done, (label, allocation) in enumerate(labelled, start=before):

        def report(epoch: int, epochs: int, done: int = done) -> None:
            told(done * epochs + epoch, (before + len(labelled)) * epochs)

        yield label, evaluator.fine_tune(allocation, seed=seed, progress=report)


def _by(
    workers: RayEvaluator, labelled: Sequence[tuple[str, tuple[int, ...]]], seed: int
) -> Iterator[tuple[str, IntegerModel]]:
    """Yield the label and the model of each network, in the order in which workers finish them."""
    for index, model in workers.fine_tune([allocation for _, allocation in labelled], seed=seed):
        yield labelled[index][0], model


def _kept(path: Path, allocation: tuple[int, ...], device: torch.device) -> IntegerModel | None:
    """Return the network of an allocation that a folder holds whole; None: it must be fine-tuned."""
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
    reference = replace(measure_reference(float_model, task), size=evaluator.reference.size)
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
    """Return the finalist of highest reward after fine-tuning, at preference 0.5 in a trade-off.

    Rewards compare estimates of the accuracy, where there are any, and else validation accuracies. Networks above the
    limit on bit operations are excluded. No labels of the test split are used. Choosing the cheapest network that
    still has the accuracy of float32 would select for luck on a small validation split.
    """
    allowed = [finalist for finalist in finalists if reward.allows(finalist.evaluation)]
    preference = _PREFERENCE if reward.preference is None else reward.preference
    return max(allowed, key=lambda finalist: reward(finalist.evaluation, reference, preference))


def choice(reward: Reward, metric: Metric = ACCURACY, constrained: str = "", *, estimated: bool = False) -> str:
    """Return a description of the criterion of :func:`best_finalist`, for tables and the report.

    Args:
        reward: formula of the reward.
        metric: metric of the task.
        constrained: constraints on the allocations, as text.
        estimated: whether the finalists have estimates.
    """
    compared = f"by estimated {metric.title}" if estimated else "on validation data"
    limit = None if reward.max_bitops is None else f"at most {bit_operations(reward.max_bitops)} bit operations"
    within = f", within {constrained}" if constrained else ""
    if reward.max_drop is not None:
        least = f"greatest saving at most {100 * reward.max_drop:g} points below float32"
        return f"{least}{'' if limit is None else f' with {limit}'}, {compared}{within}"
    if limit is not None:
        return f"highest {metric.title} with {limit}, {compared}{within}"
    return f"highest reward at preference 0.5, {compared}{within}"
