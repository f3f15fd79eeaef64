"""The last leg: the front's points are fine-tuned, chosen on validation data, and measured on the test split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mixq_rl.agents.pareto import hypervolume
from mixq_rl.envs import TradeOff
from mixq_rl.evaluation import Evaluation, SupernetEvaluator
from mixq_rl.integer_model import IntegerModel

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


def spread(front: Sequence[Evaluation], count: int, reference_accuracy: float) -> list[Evaluation]:
    """Return at most ``count`` points of a front, by ascending reduction.

    They are chosen one by one, each for the hypervolume that it adds to those before.
    """
    chosen: list[Evaluation] = []
    left = list(front)
    while left and len(chosen) < count:
        best = max(left, key=lambda point: hypervolume([*chosen, point], reference_accuracy))
        chosen.append(best)
        left.remove(best)
    return sorted(chosen, key=lambda point: point.reduction)


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
    finalists = []
    for index, (label, allocation) in enumerate(allocations):

        def report(epoch: int, epochs: int, before: int = index) -> None:
            if progress is not None:
                progress(before * epochs + epoch, len(allocations) * epochs)

        model = evaluator.fine_tune(allocation, seed=seed, progress=report)
        test = evaluator.measure(model, "test")
        finalists.append(Finalist(label, evaluator.measure(model, "validation"), test.accuracy, model))
    return finalists


def best_finalist(finalists: Sequence[Finalist], reference: Evaluation) -> Finalist:
    """Return the finalist of highest reward at preference 0.5, by its validation accuracy after fine-tuning.

    The cheapest network that just keeps the accuracy would be the luckiest on few validation nodes, and disappoint on
    the test split, which has no say here.
    """
    reward = TradeOff()
    return max(finalists, key=lambda finalist: reward(finalist.evaluation, reference, _PREFERENCE))
