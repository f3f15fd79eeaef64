"""Pareto front in (saving, accuracy), and its hypervolume. The accuracy is the ``merit`` of an evaluation."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence

from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["ParetoArchive", "Saving", "bridge", "hypervolume", "pareto_front", "reduction", "spread"]

_GAP = 2.0  # factor between neighbouring savings beyond which there is a gap
_AWAY = 2**0.25  # least factor between an end of a gap and what fills it

Saving = Callable[[Evaluation], float]
"""The cost of float32 over the cost of an evaluation: its reduction in bit operations, or its speed-up."""


def reduction(evaluation: Evaluation) -> float:
    """Return the saving in bit operations, convention ``linear``."""
    return evaluation.reduction


def pareto_front(evaluations: Iterable[Evaluation], saving: Saving = reduction) -> list[Evaluation]:
    """Return the evaluations that no other dominates in saving and accuracy, by ascending saving.

    Of several evaluations with equal saving and accuracy the first is returned.

    Args:
        evaluations: evaluations in any order.
        saving: returns the saving of an evaluation.
    """
    front: list[Evaluation] = []
    for evaluation in sorted(evaluations, key=lambda e: (-saving(e), -e.merit)):
        if not front or evaluation.merit > front[-1].merit:
            front.append(evaluation)
    return front[::-1]


def hypervolume(
    evaluations: Iterable[Evaluation], reference_accuracy: float = 0.0, saving: Saving = reduction
) -> float:
    """Return the area that the evaluations dominate in (log2 saving, accuracy).

    Evaluations that cost more than float32 add nothing.

    Args:
        evaluations: evaluations in any order; the function takes their front.
        reference_accuracy: the reference point is (0, reference_accuracy), usually the accuracy of the majority class.
        saving: as in :func:`pareto_front`.
    """
    area, left = 0.0, 0.0
    for evaluation in pareto_front(evaluations, saving):
        right = math.log2(saving(evaluation))
        if right <= left:
            continue
        area += (right - left) * max(evaluation.merit - reference_accuracy, 0.0)
        left = right
    return area


class ParetoArchive:
    """The Pareto front of all evaluations added so far.

    Args:
        reference_accuracy: accuracy of the hypervolume's reference point.
        saving: as in :func:`pareto_front`.

    Attributes:
        front: evaluations of the front, by ascending saving.
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

    The points are chosen one by one. Each choice is the point that adds most to the hypervolume of those before.
    """
    # Points slower than float32 dominate no area from a saving of 1: the area then starts below the slowest point.
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


def bridge(
    points: Sequence[Evaluation], evaluations: Iterable[Evaluation], count: int, saving: Saving = reduction
) -> list[Evaluation]:
    """Return points of a front and evaluations in its gaps, at most ``count`` in all, by ascending saving.

    A front jumps over a range of savings where no allocation works with the weights of a supernet. Some may work once
    they are fine-tuned. A gap is a factor of more than two between neighbours. It gets the most accurate evaluation
    that is at least a factor of 2^(1/4) away from both ends; of several the first, so that the proposals of a policy
    come before changes to them. The widest gap is filled first.

    Args:
        points: points of the front.
        evaluations: all evaluations, in the order of the search.
        count: greatest number of points; no point is left out.
        saving: as in :func:`pareto_front`.
    """
    chosen, others = sorted(points, key=saving), list(evaluations)
    while len(chosen) < count:
        neighbours = sorted(itertools.pairwise(chosen), key=lambda pair: saving(pair[0]) / saving(pair[1]))
        inside = next(filter(None, (_between(*pair, others, saving) for pair in neighbours)), None)
        if inside is None:
            break
        chosen = sorted([*chosen, max(inside, key=lambda evaluation: evaluation.merit)], key=saving)
    return chosen


def _between(
    below: Evaluation, above: Evaluation, evaluations: Sequence[Evaluation], saving: Saving
) -> list[Evaluation]:
    """Return the evaluations in the gap between two neighbours; none if they are too close for a gap."""
    low, high = saving(below), saving(above)
    if high <= _GAP * low:
        return []
    return [evaluation for evaluation in evaluations if low * _AWAY <= saving(evaluation) <= high / _AWAY]
