"""Which allocations are worth keeping: the Pareto front in (saving, accuracy), and its hypervolume."""

import math
from collections.abc import Callable, Iterable, Sequence

from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["ParetoArchive", "Saving", "hypervolume", "pareto_front", "reduction", "spread"]

Saving = Callable[[Evaluation], float]
"""How many times less an evaluation costs than float32: its reduction in bit operations, or its speed-up."""


def reduction(evaluation: Evaluation) -> float:
    """The saving in bit operations, convention ``linear``."""
    return evaluation.reduction


def pareto_front(evaluations: Iterable[Evaluation], saving: Saving = reduction) -> list[Evaluation]:
    """Return the evaluations that no other beats in saving and accuracy, by ascending saving.

    Of several with equal saving and accuracy the first is kept.

    Args:
        evaluations: any.
        saving: of an evaluation; its reduction where nothing is given.
    """
    front: list[Evaluation] = []
    for evaluation in sorted(evaluations, key=lambda e: (-saving(e), -e.accuracy)):
        if not front or evaluation.accuracy > front[-1].accuracy:
            front.append(evaluation)
    return front[::-1]


def hypervolume(
    evaluations: Iterable[Evaluation], reference_accuracy: float = 0.0, saving: Saving = reduction
) -> float:
    """Return the area that the evaluations dominate in (log2 saving, accuracy).

    What costs more than float32 adds nothing.

    Args:
        evaluations: any, their front is taken.
        reference_accuracy: the reference point is (0, reference_accuracy): of the majority class, where it is known.
        saving: as of :func:`pareto_front`.
    """
    area, left = 0.0, 0.0
    for evaluation in pareto_front(evaluations, saving):
        right = math.log2(saving(evaluation))
        if right <= left:
            continue
        area += (right - left) * max(evaluation.accuracy - reference_accuracy, 0.0)
        left = right
    return area


class ParetoArchive:
    """The Pareto front of all evaluations added so far.

    Args:
        reference_accuracy: of the hypervolume's reference point.
        saving: as of :func:`pareto_front`.

    Attributes:
        front: by ascending saving.
    """

    def __init__(self, reference_accuracy: float = 0.0, saving: Saving = reduction) -> None:
        self.reference_accuracy = reference_accuracy
        self.saving = saving
        self.front: list[Evaluation] = []

    def add(self, evaluations: Iterable[Evaluation]) -> None:
        self.front = pareto_front([*self.front, *evaluations], self.saving)

    @property
    def hypervolume(self) -> float:
        return hypervolume(self.front, self.reference_accuracy, self.saving)


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
