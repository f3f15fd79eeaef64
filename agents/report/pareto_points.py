"""What the Pareto chart shows, and where."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from mixq_rl.agents.pareto import pareto_front
from mixq_rl.agents.records.result import Finalist, RunResult
from mixq_rl.agents.report.scales import LinearScale, LogScale
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["ParetoPoints", "Point"]


@dataclass(frozen=True)
class Point:
    """An evaluation, placed.

    Attributes:
        kind: ``"evaluated"``, ``"searched"`` (on the front, as searched), ``"tuned"``, ``"uniform"`` or ``"best"``;
            ``"below"`` of one that is less accurate than the axis shows, and drawn at its end.
        name: for people.
        evaluation: as made.
        saving: as the run's objective has it.
        x, y: shares of the width from the left, of the height from the top.
    """

    kind: str
    name: str
    evaluation: Evaluation
    saving: float
    x: float
    y: float


class ParetoPoints:
    """All points of a run on one pair of axes.

    Evaluations of the search that are far less accurate than the others do not stretch the axis.

    Args:
        result: of the run.
        evaluations: of its search.

    Attributes:
        horizontal: of the saving.
        vertical: of validation accuracy.
        evaluated: all of the search, in an order that depends on nothing else.
        front: of these, by ascending saving.
        finalists: the fine-tuned integer networks, the best last.
    """

    def __init__(self, result: RunResult, evaluations: Iterable[Evaluation]) -> None:
        self._saving = partial(result.objective.saving, reference=result.reference)
        evaluated = sorted(set(evaluations), key=lambda e: (self._saving(e), e.accuracy, e.allocation))
        integer = [finalist.evaluation for finalist in result.finalists[1:]]
        self.horizontal = LogScale.around(map(self._saving, [*evaluated, *integer]), 0.06, 0.2)
        shown = [*_usual([e.accuracy for e in evaluated]), *(f.evaluation.accuracy for f in result.finalists)]
        self.vertical = LinearScale.around(shown, 0.08, 0.02)
        self.evaluated = [self._place("evaluated", "an allocation of the search", e) for e in evaluated]
        front = pareto_front(evaluated, self._saving)
        self.front = [self._place("searched", "front, as searched", e) for e in front]
        self.finalists = [
            *(self._named("tuned", finalist) for finalist in result.mixed if finalist is not result.best),
            *(self._named("uniform", finalist) for finalist in result.uniform if finalist is not result.best),
            self._named("best", result.best),
        ]

    def height(self, accuracy: float) -> float:
        """Return how far from the top an accuracy lies, as a share of the height; beyond 1 it is not shown."""
        return 1 - self.vertical.place(accuracy)

    def _named(self, kind: str, finalist: Finalist) -> Point:
        return self._place(kind, finalist.label, finalist.evaluation)

    def _place(self, kind: str, name: str, evaluation: Evaluation) -> Point:
        saving, y = self._saving(evaluation), self.height(evaluation.accuracy)
        x = self.horizontal.place(saving)
        return Point("below" if y > 1 else kind, name, evaluation, saving, x, min(y, 1.0))


def _usual(accuracies: Sequence[float]) -> list[float]:
    """Leave out what lies more than one and a half interquartile ranges below the lower quartile (Tukey's fence)."""
    if len(accuracies) < 4:
        return list(accuracies)
    lower, _, upper = statistics.quantiles(accuracies)
    return [accuracy for accuracy in accuracies if accuracy >= lower - 1.5 * (upper - lower)]
