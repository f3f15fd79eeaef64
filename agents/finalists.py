"""The last leg: the front's points are fine-tuned, chosen on validation data, and measured on the test split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mixq_rl.agents.pareto import Saving, hypervolume, reduction
from mixq_rl.envs import TradeOff
from mixq_rl.evaluation import Evaluation, SupernetEvaluator
from mixq_rl.integer_model import IntegerModel
from mixq_rl.objective import Objective

__all__ = ["Finalist", "best_finalist", "fine_tune_finalists", "spread"]

_PREFERENCE = 0.5


@dataclass(frozen=True)
class Finalist:
    """A network of the final table.

    Attributes:
        label: ``"float32"``, ``"uniform 4"``, ``"agent 3"``.
        evaluation: on the validation split, after fine-tuning.
        test_accuracy: in [0, 1].
        model: the integer network; None for float32.
    """

    label: str
    evaluation: Evaluation
    test_accuracy: float
    model: IntegerModel | None = None


def spread(
    front: Sequence[Evaluation], count: int, reference_accuracy: float, saving: Saving = reduction
) -> list[Evaluation]:
    """Return at most ``count`` points of a front, by ascending saving.

    They are chosen one by one, each for the hypervolume that it adds to those before.
    """
    # Points slower than float32 dominate no area: where there are any, it is counted from below the slowest.
    origin = min([1.0, *(saving(point) / 2 for point in front)])
    chosen: list[Evaluation] = []
    left = list(front)
    while left and len(chosen) < count:
        best = max(
            left, key=lambda point: hypervolume([*chosen, point], reference_accuracy, lambda e: saving(e) / origin)
        )
        chosen.append(best)
        left.remove(best)
    return sorted(chosen, key=saving)


def fine_tune_finalists(
    evaluator: SupernetEvaluator,
    allocations: Sequence[tuple[str, tuple[int, ...]]],
    *,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Finalist]:
    """Fine-tune, freeze and execute each labelled allocation.

    Args:
        evaluator: gives the supernet, which is where each fine-tuning starts.
        allocations: labels and bit-widths.
        seed: of the fine-tuning.
        progress: told (epochs done, epochs in all).
    """
    models = []
    for index, (_, allocation) in enumerate(allocations):

        def report(epoch: int, epochs: int, before: int = index) -> None:
            if progress is not None:
                progress(before * epochs + epoch, len(allocations) * epochs)

        models.append(evaluator.fine_tune(allocation, seed=seed, progress=report))
    # Measured in one go, so that their times are taken under one load.
    return [
        Finalist(label, evaluator.measure(model, "validation"), evaluator.measure(model, "test").accuracy, model)
        for (label, _), model in zip(allocations, models, strict=True)
    ]


def best_finalist(
    finalists: Sequence[Finalist], reference: Evaluation, objective: Objective = Objective.BITOPS
) -> Finalist:
    """Return the finalist of highest reward at preference 0.5, by its validation accuracy after fine-tuning.

    The cheapest network that just keeps the accuracy would be the luckiest on few validation nodes, and disappoint on
    the test split, which has no say here.
    """
    reward = TradeOff(objective)
    return max(finalists, key=lambda finalist: reward(finalist.evaluation, reference, _PREFERENCE))
