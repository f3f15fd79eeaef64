"""Accuracy against saving, as SVG: whatever was evaluated, the front, and what it is to be compared with."""

import json
from collections.abc import Iterable, Sequence

from mixq_rl.agents.records.result import RunResult
from mixq_rl.agents.report.label_placement import ON_A_LINE, Label, Mark, beside, place_labels
from mixq_rl.agents.report.markup import Markup, element, joined
from mixq_rl.agents.report.pareto_points import ParetoPoints, Point
from mixq_rl.agents.report.quantities import percent, times
from mixq_rl.evaluation.objective import Objective
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["pareto_chart"]

_SAVED = {Objective.BITOPS: "fewer bit operations than float32", Objective.LATENCY: "float32's speed"}
_AXIS = {
    Objective.BITOPS: "reduction in bit operations against float32, convention linear; logarithmic",
    Objective.LATENCY: "speed-up against float32, measured; logarithmic",
}
# All shapes are drawn around the origin, where the point lies.
_SHAPES = {
    "evaluated": element("circle", r=2.5),
    "searched": element("circle", r=4),
    "tuned": element("path", d="M0-7L6 0L0 7L-6 0Z"),
    "uniform": element("rect", x=-5, y=-5, width=10, height=10),
    "best": element("path", d="M0-11L2.6-3.6L10.5-3.4L4.2 1.4L6.5 8.9L0 4.4L-6.5 8.9L-4.2 1.4L-10.5-3.4L-2.6-3.6Z"),
    "below": element("path", d="M-4-6L4-6L0 0Z"),
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
    lines = {"float32": result.reference.accuracy, "majority class": result.majority}
    drawing = element(
        "svg",
        element("defs", *(element("g", shape, id=kind) for kind, shape in _SHAPES.items())),
        _axes(points),
        *(_line(name, points.height(accuracy)) for name, accuracy in lines.items() if points.height(accuracy) <= 1),
        element("g", *(_mark(point, result.objective) for point in points.evaluated), aria_hidden="true"),
        _steps(points.front),
        *(_mark(point, result.objective) for point in [*points.front, *points.finalists]),
        *(_labels(points, lines, layout) for layout in _LAYOUTS),
        class_="plot",
        role="group",
        aria_label=f"Validation accuracy against {_AXIS[result.objective]}",
    )
    tip = element("div", class_="tip", role="status", hidden="")
    components = json.dumps(result.components, ensure_ascii=False)
    return element(
        "figure",
        element("p", "validation accuracy, %", class_="axis"),
        element("div", drawing, tip, class_="chart", data_components=components),
        element("p", _AXIS[result.objective], class_="axis right"),
        _legend(points, lines),
    )


def _axes(points: ParetoPoints) -> Markup:
    marks = []
    for value in points.vertical.ticks():
        y = _percentage(points.height(value))
        marks.append(element("line", x1="0", x2="100%", y1=y, y2=y, class_="grid"))
        marks.append(element("text", f"{100 * value:.4g}", x=0, y=y, dx=-8, dy=4, class_="tick end"))
    for value in points.horizontal.ticks():
        x = _percentage(points.horizontal.place(value))
        marks.append(element("line", x1=x, x2=x, y1="0", y2="100%", class_="grid"))
        marks.append(element("text", f"{value:.4g}×", x=x, y="100%", dy=20, class_="tick middle"))
    return element("g", *marks, aria_hidden="true")


def _line(name: str, height: float) -> Markup:
    y = _percentage(height)
    return element("line", x1="0", x2="100%", y1=y, y2=y, class_=_style(name))


def _style(name: str) -> str:
    return name.partition(" ")[0]


def _steps(front: Sequence[Point]) -> Markup:
    """Draw the edge of what the front dominates: leftwards from each point, and down from it."""
    lines = []
    for before, point, after in zip([None, *front], front, [*front[1:], None], strict=False):
        left, down = before.x if before else 0.0, after.y if after else 1.0
        for x, y in ((left, point.y), (point.x, down)):
            places = {"x1": point.x, "y1": point.y, "x2": x, "y2": y}
            lines.append(element("line", class_="front", **{name: _percentage(at) for name, at in places.items()}))
    return joined(*lines)


def _mark(point: Point, objective: Objective) -> Markup:
    bits = " ".join(str(width) for width in point.evaluation.allocation)
    title = (
        f"{point.name}{' ★ best' if point.kind == 'best' else ''}\n"
        f"{percent(point.evaluation.accuracy)} on validation data, {times(point.saving)} {_SAVED[objective]}\n"
        f"bits {bits}"
    )
    return element(
        "use",
        element("title", title),
        href=f"#{point.kind}",
        x=_percentage(point.x),
        y=_percentage(point.y),
        class_=f"point {point.kind}",
        data_bits=bits,
    )


def _labels(points: ParetoPoints, lines: dict[str, float], layout: str) -> Markup:
    *others, best = points.finalists
    named = [
        Label(best.name, best.x, best.y, beside(_RADII["best"])),
        *(
            Label(f"{name} {percent(accuracy)}", 0, points.height(accuracy), ON_A_LINE)
            for name, accuracy in lines.items()
            if points.height(accuracy) <= 1
        ),
        *(Label(_short(point), point.x, point.y, beside(_RADII[point.kind])) for point in reversed(others)),
    ]
    marks = [Mark(point.x, point.y, _RADII[point.kind]) for point in [*points.front, *points.finalists]]
    texts = [
        element(
            "text",
            label.text,
            x=_percentage(label.x),
            y=_percentage(label.y),
            dx=side.dx,
            dy=side.dy,
            class_=f"label {side.anchor}{' strong' if label is named[0] else ''}",
        )
        for label, side in zip(named, place_labels(named, marks, *_LAYOUTS[layout]), strict=True)
        if side is not None
    ]
    return element("g", *texts, class_=layout, aria_hidden="true")


def _short(point: Point) -> str:
    """Return the number of an agent's network, and the bits of a uniform one."""
    number = point.name.rpartition(" ")[2]
    return f"{number} bits" if point.kind == "uniform" else number


def _legend(points: ParetoPoints, lines: dict[str, float]) -> Markup:
    kinds = [point.kind for point in [*points.evaluated, *points.front, *points.finalists]]
    counted = {
        "evaluated": len(points.evaluated),
        "below": sum(point.kind == "below" for point in points.evaluated),
    }
    entries = [
        element(
            "li",
            _key(element("use", href=f"#{kind}", class_=f"point {kind}")),
            f"{name} ({counted[kind]})" if kind in counted else name,
        )
        for kind, name in _NAMES.items()
        if kind in kinds
    ]
    for name, accuracy in lines.items():
        hidden = ": below what is shown" if points.height(accuracy) > 1 else ""
        key = _key(element("line", x1=-10, x2=10, class_=_style(name)))
        entries.append(element("li", key, f"{name}, {percent(accuracy)}{hidden}"))
    return element("ul", *entries, class_="legend")


def _key(shape: Markup) -> Markup:
    return element("svg", shape, viewBox="-12 -12 24 24", class_="key", aria_hidden="true")


def _percentage(share: float) -> str:
    return f"{100 * share:.2f}%"
