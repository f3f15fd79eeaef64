"""The Pareto figure of a search, by matplotlib."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixq_rl.agents.report.label_placement import FONT_SIZE, place_labels
from mixq_rl.agents.report.pareto_points import ParetoPoints, Point, outline
from mixq_rl.agents.report.series import SERIES
from mixq_rl.printable import printable

__all__ = ["LINES", "TEXT_POINTS", "pareto_figure", "symbol"]

TEXT_POINTS = 8.0
"""Font size of labels and legend, in points."""

LINES = {"float32": ("black", "--"), "majority": ("0.4", ":")}
"""Colour and style of the horizontal lines."""

_SIZE = (5.6, 4.4)  # inches
_POINTS_PER_INCH = 72
_POINTS_PER_PIXEL = TEXT_POINTS / FONT_SIZE
_ALIGNED = {"start": "left", "middle": "center", "end": "right"}
_RIVAL_MARKERS = "v^<>xP"


def pareto_figure(points: ParetoPoints, *, title: str = "") -> Figure:
    """Return the metric or its estimate against saving: evaluations, their front, and networks to compare it with.

    Axes, series and labels are those of the page's chart. The fronts of other searches are dotted.

    Args:
        points: of a search or a run.
        title: above the axes.
    """
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    _scale(axes, points)
    _draw_front(axes, points.front, SERIES["searched"].colour.light, "-")
    for index, (name, front) in enumerate(points.rivals.items()):
        marker, colour = _RIVAL_MARKERS[index % len(_RIVAL_MARKERS)], f"C{4 + index % 6}"
        _draw_front(axes, front, colour, ":")
        savings, accuracies = _places(points, front)
        axes.plot(savings, accuracies, marker=marker, markersize=4, linestyle="", color=colour)
        axes.plot([], [], marker=marker, markersize=4, linestyle=":", color=colour, label=printable(name))
    drawn = [*points.evaluated, *points.front, *points.finalists]
    for kind, name in points.legend:
        places = _places(points, [point for point in drawn if point.kind == kind])
        axes.plot(*places, **symbol(kind), label=name, clip_on=False, zorder=3)
    for line in points.lines:
        colour, style = LINES[line.kind]
        axes.axhline(100 * line.accuracy, color=colour, linewidth=1, linestyle=style, label=line.legend)
    axes.set_title(printable(title), parse_math=False)
    figure.legend(fontsize=TEXT_POINTS, loc="outside lower center", ncols=2)  # inside it would hide points
    _write_labels(figure, axes, points)
    return figure


def symbol(kind: str) -> dict[str, Any]:
    """Return how matplotlib draws the points of a series."""
    series = SERIES[kind]
    colour = series.colour.light
    return {
        "marker": series.marker,
        "markersize": 2 * series.radius * _POINTS_PER_PIXEL,
        "linestyle": "",
        "markerfacecolor": "white" if series.hollow else colour,
        "markeredgecolor": "black" if kind == "best" else colour,
    }


def _scale(axes: Axes, points: ParetoPoints) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(points.horizontal.low, points.horizontal.high)
    axes.set_ylim(100 * points.vertical.low, 100 * points.vertical.high)
    axes.set_xticks([value for _, value, _ in points.savings], [text for text, *_ in points.savings])
    axes.set_xticks([], minor=True)
    axes.set_yticks([100 * value for _, value, _ in points.accuracies], [text for text, *_ in points.accuracies])
    axes.set_xlabel(points.label)
    axes.set_ylabel(f"{points.heading} (%)")
    axes.grid(alpha=0.3)


def _places(points: ParetoPoints, drawn: Sequence[Point]) -> tuple[list[float], list[float]]:
    """Return savings and accuracies in %; what lies below the axis is drawn at its end."""
    low = points.vertical.low
    return [point.saving for point in drawn], [100 * max(point.evaluation.merit, low) for point in drawn]


def _draw_front(axes: Axes, front: Sequence[Point], colour: str, style: str) -> None:
    corners = outline(front)
    xs, ys = [x for x, _ in corners], [1 - y for _, y in corners]
    axes.plot(xs, ys, color=colour, linewidth=1, linestyle=style, transform=axes.transAxes)


def _write_labels(figure: Figure, axes: Axes, points: ParetoPoints) -> None:
    figure.draw_without_rendering()  # only then the size of the axes is known
    place = axes.get_position()
    width, height = (
        share * inches * _POINTS_PER_INCH / _POINTS_PER_PIXEL
        for share, inches in zip((place.width, place.height), figure.get_size_inches(), strict=True)
    )
    for label, side in zip(points.labels, place_labels(points.labels, points.marks, width, height), strict=True):
        if side is not None:
            axes.annotate(
                label.text,
                (label.x, 1 - label.y),
                xycoords="axes fraction",
                xytext=(side.dx * _POINTS_PER_PIXEL, -side.dy * _POINTS_PER_PIXEL),
                textcoords="offset points",
                ha=_ALIGNED[side.anchor],
                va="baseline",
                fontsize=TEXT_POINTS,
                fontweight="bold" if label.strong else "normal",
                parse_math=False,
                zorder=4,
            )
