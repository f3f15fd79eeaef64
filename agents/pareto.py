"""Which allocations are worth keeping: the Pareto front in (reduction, accuracy), and its hypervolume."""

import math
from collections.abc import Iterable

from mixq_rl.evaluation import Evaluation

__all__ = ["ParetoArchive", "hypervolume", "pareto_front"]


def pareto_front(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Return the evaluations that no other beats in reduction and accuracy, by ascending reduction.

    Of several with equal reduction and accuracy the first is kept.
    """
    front: list[Evaluation] = []
    for evaluation in sorted(evaluations, key=lambda e: (-e.reduction, -e.accuracy)):
        if not front or evaluation.accuracy > front[-1].accuracy:
            front.append(evaluation)
    return front[::-1]


def hypervolume(evaluations: Iterable[Evaluation], reference_accuracy: float = 0.0) -> float:
    """Return the area that the evaluations dominate in (log2 reduction, accuracy).

    Args:
        evaluations: any, their front is taken.
        reference_accuracy: the reference point is (0, reference_accuracy): of the majority class, where it is known.
    """
    area, left = 0.0, 0.0
    for evaluation in pareto_front(evaluations):
        right = math.log2(evaluation.reduction)
        if right <= left:
            continue
        area += (right - left) * max(evaluation.accuracy - reference_accuracy, 0.0)
        left = right
    return area


class ParetoArchive:
    """The Pareto front of all evaluations added so far.

    Args:
        reference_accuracy: of the hypervolume's reference point.

    Attributes:
        front: by ascending reduction.
    """

    def __init__(self, reference_accuracy: float = 0.0) -> None:
        self.reference_accuracy = reference_accuracy
        self.front: list[Evaluation] = []

    def add(self, evaluations: Iterable[Evaluation]) -> None:
        self.front = pareto_front([*self.front, *evaluations])

    @property
    def hypervolume(self) -> float:
        return hypervolume(self.front, self.reference_accuracy)
