"""The Pareto chart of the page: the metric on validation data, or its estimate, against saving, as SVG."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from mixq_rl.agents.quantities import percent, times
from mixq_rl.agents.records.result import RunResult
from mixq_rl.agents.report.label_placement import Label, Side, place_labels
from mixq_rl.agents.report.pareto_points import ParetoPoints, Point, outline
from mixq_rl.agents.report.rendering import render
from mixq_rl.datasets.metrics import Metric
from mixq_rl.evaluation.objective import Objective
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.printable import printable

__all__ = ["pareto_chart"]

# Width and height of the plot in pixels, on a desktop or paper and on a phone. Labels are placed for both.
_LAYOUTS = {"wide": (640.0, 380.0), "narrow": (290.0, 300.0)}


def pareto_chart(result: RunResult, evaluations: Iterable[Evaluation]) -> Markup:
    """Return the chart of a run, as a figure in HTML.

    Coordinates are percentages: text and points keep their size at any width of the page.

    Args:
        result: of the run.
        evaluations: all evaluations of its search.
    """
    points = ParetoPoints.of(result, evaluations)
    return render(
        "chart.html.j2",
        points=points,
        components=json.dumps([printable(name) for name in result.components], ensure_ascii=False),
        evaluated=[_mark(point, result.objective, result.metric) for point in points.evaluated],
        edges=list(pairwise(outline(points.front))),
        named=[_mark(point, result.objective, result.metric) for point in [*points.front, *points.finalists]],
        labels={layout: _labels(points, *size) for layout, size in _LAYOUTS.items()},
    )


@dataclass(frozen=True)
class _Mark:
    """A point, the text that is shown when a user points at it, and its bit-widths."""

    point: Point
    title: str
    bits: str


def _mark(point: Point, objective: Objective, metric: Metric) -> _Mark:
    bits = " ".join(str(width) for width in point.evaluation.allocation)
    title = (
        f"{point.name}{' ★ best' if point.kind == 'best' else ''}\n"
        f"{percent(point.evaluation.merit)} {metric.title} {_source(point.evaluation)}, "
        f"{times(point.saving)} {objective.compared}\n"
        f"bits {bits}"
    )
    return _Mark(point, title, bits)


def _source(evaluation: Evaluation) -> str:
    return "on validation data" if evaluation.estimate is None else "estimated"


def _labels(points: ParetoPoints, width: float, height: float) -> list[tuple[Label, Side]]:
    """Return the labels for which there is room, each with its side."""
    sides = place_labels(points.labels, points.marks, width, height)
    return [(label, side) for label, side in zip(points.labels, sides, strict=True) if side is not None]
