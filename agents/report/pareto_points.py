"""Geometry of the Pareto chart and the Pareto figure: axes, points, lines, labels and legend."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Self

from mixq_rl.agents.pareto import pareto_front
from mixq_rl.agents.quantities import percent
from mixq_rl.agents.records.result import Finalist, RunResult
from mixq_rl.agents.report.label_placement import ON_A_LINE, Label, Mark, beside
from mixq_rl.agents.report.scales import LinearScale, LogScale
from mixq_rl.agents.report.series import SERIES
from mixq_rl.datasets.metrics import ACCURACY, Metric
from mixq_rl.evaluation.objective import BITOPS, Objective
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["Line", "ParetoPoints", "Point", "outline"]


@dataclass(frozen=True)
class Point:
    """An evaluation with its place in the plot.

    Attributes:
        kind: a key of :data:`SERIES`. ``"below"``: less accurate than the axis shows, and drawn at its lower end.
        name: of the network.
        evaluation: the evaluation.
        saving: by the objective.
        x, y: fractions of the width from the left and of the height from the top.
    """

    kind: str
    name: str
    evaluation: Evaluation
    saving: float
    x: float
    y: float


@dataclass(frozen=True)
class Line:
    """A horizontal line at an accuracy.

    Attributes:
        kind: ``"float32"`` or ``"majority"``.
        name: in the legend.
        accuracy: in [0, 1].
        y: fraction of the height from the top; above 1 the line is not shown.
    """

    kind: str
    name: str
    accuracy: float
    y: float

    @property
    def shown(self) -> bool:
        """Whether the axis reaches the line."""
        return self.y <= 1

    @property
    def legend(self) -> str:
        """The line's entry in the legend."""
        return f"{self.name}, {percent(self.accuracy)}{'' if self.shown else ': below the axis'}"


class ParetoPoints:
    """All points of a search on one pair of axes.

    The accuracy axis is not stretched by evaluations of the search that are far less accurate than the others.

    Args:
        evaluations: of the search, at least one.
        reference: the float32 network.
        objective: defines the saving.
        uniform: networks of one bit-width everywhere, other than the best, with their names: ``"uniform 4"``.
        tuned: fine-tuned networks of the search, other than the best, with their names: ``"agent 3"``.
        best: the best network and its name.
        rivals: evaluations of other searches, by name; the axes show their fronts.
        majority: validation accuracy of the majority class, or the metric's value for a constant prediction.
        metric: the measure that the accuracies are values of.

    Attributes:
        metric: as given.
        label: text of the horizontal axis.
        horizontal: axis of the saving.
        vertical: axis of the validation accuracy, or of the estimated accuracy.
        savings, accuracies: marked values, each with its text and its place as in :class:`Point`.
        evaluated: points of the search, ordered by saving, accuracy and allocation.
        front: their Pareto front, by ascending saving.
        finalists: the fine-tuned integer networks, the best last.
        rivals: Pareto fronts of other searches, by name and number of evaluations: ``"tpe (64)"``.
        lines: accuracies of float32 and of the majority class.
    """

    def __init__(
        self,
        evaluations: Iterable[Evaluation],
        reference: Evaluation,
        *,
        objective: Objective = BITOPS,
        uniform: Sequence[tuple[str, Evaluation]] = (),
        tuned: Sequence[tuple[str, Evaluation]] = (),
        best: tuple[str, Evaluation] | None = None,
        rivals: Mapping[str, Sequence[Evaluation]] = MappingProxyType({}),
        majority: float | None = None,
        metric: Metric = ACCURACY,
    ) -> None:
        self.metric = metric
        self._saving = partial(objective.saving, reference=reference)
        evaluated = sorted(set(evaluations), key=lambda e: (self._saving(e), e.merit, e.allocation))
        finalists = [
            *(("tuned", name, evaluation) for name, evaluation in tuned),
            *(("uniform", name, evaluation) for name, evaluation in uniform),
            *([] if best is None else [("best", *best)]),
        ]
        fronts = {name: pareto_front(found, self._saving) for name, found in rivals.items()}
        named = [*(evaluation for *_, evaluation in finalists), *(e for front in fronts.values() for e in front)]
        self.label = objective.label
        self.horizontal = LogScale.around(map(self._saving, [*evaluated, *named]), 0.06, 0.2)
        usual = _usual([e.merit for e in evaluated])
        self.vertical = LinearScale.around([*usual, *(e.merit for e in [reference, *named])], 0.08, 0.02)
        self.savings = [(f"{value:.4g}×", value, self.horizontal.place(value)) for value in self.horizontal.ticks()]
        self.accuracies = [(f"{100 * value:.4g}", value, self.height(value)) for value in self.vertical.ticks()]
        self.evaluated = [self._place("evaluated", "an allocation of the search", e) for e in evaluated]
        front = pareto_front(evaluated, self._saving)
        self.front = [self._place("searched", "front, as searched", e) for e in front]
        self.finalists = [self._place(*finalist) for finalist in finalists]
        self.rivals = {
            f"{name} ({len(found)})": [self._place("searched", name, e) for e in fronts[name]]
            for name, found in rivals.items()
        }
        self.lines = [self._line("float32", "float32", reference.merit)]
        if majority is not None:
            self.lines.append(self._line("majority", metric.baseline, majority))
        self._estimated = any(evaluation.estimate is not None for evaluation in [*evaluated, *named])
        self._fine_tuned = bool(tuned) or best is not None

    @classmethod
    def of(cls, result: RunResult, evaluations: Iterable[Evaluation]) -> Self:
        """Return the points of a run that has ended.

        Args:
            result: of the run.
            evaluations: all evaluations of its search.
        """

        def others(finalists: Iterable[Finalist]) -> list[tuple[str, Evaluation]]:
            return [(each.label, each.evaluation) for each in finalists if each is not result.best]

        return cls(
            evaluations,
            result.reference,
            objective=result.objective,
            uniform=others(result.uniform),
            tuned=others(result.mixed),
            best=(result.best.label, result.best.evaluation),
            majority=result.majority,
            metric=result.metric,
        )

    @property
    def heading(self) -> str:
        """Title of the vertical axis, without its unit."""
        return f"{'estimated' if self._estimated else 'validation'} {self.metric.title}"

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Kinds of points that are drawn, each with its text."""
        drawn = [point.kind for point in [*self.evaluated, *self.front, *self.finalists]]
        behind = {
            "evaluated": f" ({len(self.evaluated)})",
            "below": f" ({sum(point.kind == 'below' for point in self.evaluated)})",
            "uniform": ", fine-tuned" if self._fine_tuned else "",
        }
        return [(kind, series.name + behind.get(kind, "")) for kind, series in SERIES.items() if kind in drawn]

    @property
    def labels(self) -> list[Label]:
        """Texts for points and lines, the most important first: the best, the lines, the other networks."""
        best = [point for point in self.finalists if point.kind == "best"]
        others = [point for point in reversed(self.finalists) if point.kind != "best"]
        return [
            *(Label(point.name, point.x, point.y, beside(SERIES["best"].radius), strong=True) for point in best),
            *(Label(f"{e.name} {percent(e.accuracy)}", 0, e.y, ON_A_LINE) for e in self.lines if e.shown),
            *(Label(_short(point), point.x, point.y, beside(SERIES[point.kind].radius)) for point in others),
        ]

    @property
    def marks(self) -> list[Mark]:
        """Places of the points that no label may cover."""
        return [Mark(point.x, point.y, SERIES[point.kind].radius) for point in [*self.front, *self.finalists]]

    def height(self, accuracy: float) -> float:
        """Return how far from the top an accuracy lies, as a fraction of the height; above 1 it is not shown."""
        return 1 - self.vertical.place(accuracy)

    def _line(self, kind: str, name: str, accuracy: float) -> Line:
        return Line(kind, name, accuracy, self.height(accuracy))

    def _place(self, kind: str, name: str, evaluation: Evaluation) -> Point:
        saving, y = self._saving(evaluation), self.height(evaluation.merit)
        x = self.horizontal.place(saving)
        return Point("below" if y > 1 else kind, name, evaluation, saving, x, min(y, 1.0))


def outline(front: Sequence[Point]) -> list[tuple[float, float]]:
    """Return the corners (x, y) of the area that a front dominates, from the left edge to the lower edge."""
    if not front:
        return []
    corners = [(0.0, front[0].y)]
    for point, after in zip(front, [*front[1:], None], strict=True):
        corners += [(point.x, point.y), (point.x, after.y if after else 1.0)]
    return corners


def _short(point: Point) -> str:
    """Return ``"3"`` for ``"agent 3"``, and ``"4 bits"`` for ``"uniform 4"``."""
    number = point.name.rpartition(" ")[2]
    return f"{number} bits" if point.kind == "uniform" else number


def _usual(accuracies: Sequence[float]) -> list[float]:
    """Return the accuracies above Tukey's fence: the lower quartile minus 1.5 interquartile ranges."""
    if len(accuracies) < 4:
        return list(accuracies)
    lower, _, upper = statistics.quantiles(accuracies)
    return [accuracy for accuracy in accuracies if accuracy >= lower - 1.5 * (upper - lower)]
