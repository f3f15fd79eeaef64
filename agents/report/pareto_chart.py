"""Accuracy against saving, as SVG: whatever was evaluated, the front, and what it is to be compared with."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mixq_rl.agents.quantities import percent, times
from mixq_rl.agents.records.result import RunResult
from mixq_rl.agents.report.label_placement import ON_A_LINE, Label, Mark, Side, beside, place_labels
from mixq_rl.agents.report.pareto_points import ParetoPoints, Point
from mixq_rl.agents.report.rendering import render
from mixq_rl.evaluation.objective import Objective
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["pareto_chart"]

_SAVED = {Objective.BITOPS: "fewer bit operations than float32", Objective.LATENCY: "float32's speed"}
_AXIS = {
    Objective.BITOPS: "reduction in bit operations against float32, convention linear; logarithmic",
    Objective.LATENCY: "speed-up against float32, measured; logarithmic",
}
_RADII = {"searched": 4, "tuned": 6, "uniform": 5, "best": 10, "below": 4}
_NAMES = {
    "evaluated": "evaluated in the search",
    "searched": "front, as searched",
    "tuned": "front, fine-tuned",
    "uniform": "one bit-width everywhere, fine-tuned",
    "best": "best",
    "below": "less accurate than shown",
}
# Plots as wide as they come out on a desk and on paper, and on a phone: labels are placed for each.
_LAYOUTS = {"wide": (640.0, 380.0), "narrow": (290.0, 300.0)}


def pareto_chart(result: RunResult, evaluations: Iterable[Evaluation]) -> Markup:
    """Draw validation accuracy against what the run saves, as a figure.

    Coordinates are percentages, so that text and points keep their size however wide the page is.

    Args:
        result: of the run.
        evaluations: all that were made in the search.
    """
    points = ParetoPoints(result, evaluations)
    lines = [
        _Line(name.partition(" ")[0], name, accuracy, points.height(accuracy))
        for name, accuracy in (("float32", result.reference.accuracy), ("majority class", result.majority))
    ]
    return render(
        "chart.html.j2",
        axis=_AXIS[result.objective],
        components=json.dumps(result.components, ensure_ascii=False),
        heights=[(f"{100 * value:.4g}", points.height(value)) for value in points.vertical.ticks()],
        savings=[(f"{value:.4g}×", points.horizontal.place(value)) for value in points.horizontal.ticks()],
        lines=lines,
        evaluated=[_mark(point, result.objective) for point in points.evaluated],
        edges=_edges(points.front),
        named=[_mark(point, result.objective) for point in [*points.front, *points.finalists]],
        labels={layout: _labels(points, lines, layout) for layout in _LAYOUTS},
        legend=_legend(points),
    )


@dataclass(frozen=True)
class _Line:
    """A horizontal line.

    Attributes:
        kind: its class.
        name: for people.
        accuracy: where it is drawn.
        y: share of the height from the top; beyond 1 it is not shown.
    """

    kind: str
    name: str
    accuracy: float
    y: float

    @property
    def shown(self) -> bool:
        return self.y <= 1


@dataclass(frozen=True)
class _Mark:
    """A point, with what is said of it when it is pointed at, and its bits."""

    point: Point
    title: str
    bits: str


def _mark(point: Point, objective: Objective) -> _Mark:
    bits = " ".join(str(width) for width in point.evaluation.allocation)
    title = (
        f"{point.name}{' ★ best' if point.kind == 'best' else ''}\n"
        f"{percent(point.evaluation.accuracy)} on validation data, {times(point.saving)} {_SAVED[objective]}\n"
        f"bits {bits}"
    )
    return _Mark(point, title, bits)


def _edges(front: Sequence[Point]) -> list[tuple[float, float, float, float]]:
    """Return the edge of what the front dominates: leftwards from each point, and down from it."""
    found = []
    for before, point, after in zip([None, *front], front, [*front[1:], None], strict=False):
        left, down = before.x if before else 0.0, after.y if after else 1.0
        found += [(point.x, point.y, left, point.y), (point.x, point.y, point.x, down)]
    return found


def _labels(points: ParetoPoints, lines: Sequence[_Line], layout: str) -> list[tuple[Label, Side, bool]]:
    """Return the labels for which there is room, each with its side, and whether it is the best's."""
    *others, best = points.finalists
    named = [
        Label(best.name, best.x, best.y, beside(_RADII["best"])),
        *(Label(f"{line.name} {percent(line.accuracy)}", 0, line.y, ON_A_LINE) for line in lines if line.shown),
        *(Label(_short(point), point.x, point.y, beside(_RADII[point.kind])) for point in reversed(others)),
    ]
    marks = [Mark(point.x, point.y, _RADII[point.kind]) for point in [*points.front, *points.finalists]]
    sides = place_labels(named, marks, *_LAYOUTS[layout])
    return [(label, side, label is named[0]) for label, side in zip(named, sides, strict=True) if side is not None]


def _short(point: Point) -> str:
    """Return the number of an agent's network, and the bits of a uniform one."""
    number = point.name.rpartition(" ")[2]
    return f"{number} bits" if point.kind == "uniform" else number


def _legend(points: ParetoPoints) -> list[tuple[str, str]]:
    """Return the kinds of points that are drawn, and their names."""
    kinds = [point.kind for point in [*points.evaluated, *points.front, *points.finalists]]
    counted = {
        "evaluated": len(points.evaluated),
        "below": sum(point.kind == "below" for point in points.evaluated),
    }
    return [
        (kind, f"{name} ({counted[kind]})" if kind in counted else name)
        for kind, name in _NAMES.items()
        if kind in kinds
    ]
