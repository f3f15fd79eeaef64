"""Draws docs/pareto.png: test accuracy of Cora's GCN against how many times fewer bit operations than float32.

Our numbers come from ``results/results.jsonl``: mean ± standard deviation over its seeds. Those of MixQ-GNN are the
published ones.

    python benchmarks/head_figure.py
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from published import FRONT, PUBLISHED
from results_rows import Row, at_least, chosen_row, labelled, lines

FIGURE = Path(__file__).parent.parent / "docs" / "pareto.png"
CELL = ("Cora", "gcn")
UNIFORM = (8, 4, 2, 1)
TARGETS = (4, 8, 14, 20, 30)
OURS, UNIFORM_COLOR, THEIRS = "#d1495b", "#2f6690", "#6c757d"


class Point(NamedTuple):
    """One way of choosing bit-widths.

    Attributes:
        accuracy: on the test split in %, mean over seeds.
        spread: standard deviation of the accuracy in points.
        reduction: float32's bit operations over those of the network, convention ``linear``, mean over seeds.
        seeds: number of seeds.
    """

    accuracy: float
    spread: float
    reduction: float
    seeds: int = 1


def main(output: Annotated[Path, typer.Option(help="The picture.")] = FIGURE) -> None:
    known = lines()
    float32 = _point(chosen_row(known, CELL, "", ["float32"], lambda points: points[0]))

    def uniform(bits: int) -> Point:
        return _point(chosen_row(known, CELL, "", ["uniform"], lambda points: labelled(points, f"uniform {bits}")))

    agent = [_point(at_least(known, CELL, "agent", target, "")) for target in TARGETS]
    draw(float32, {bits: uniform(bits) for bits in UNIFORM}, agent, output)


def _point(found: Row | None) -> Point:
    assert found is not None, "results.py has not measured it"
    spread = statistics.stdev(found.test) if len(found.test) > 1 else 0.0
    reduction = statistics.mean(point["reduction"] for point in found.points)
    return Point(statistics.mean(found.test), spread, reduction, len(found.test))


def draw(float32: Point, uniform: dict[int, Point], agent: Sequence[Point], path: Path) -> None:
    """Draw float32, uniform bits, the agent's networks, and MixQ-GNN."""
    figure = Figure(figsize=(8.4, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.axhline(float32.accuracy, color="black", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    _mark(axes, float32, "black", "o")
    _label(axes, float32, "float32", (0, 12), "black")
    for bits, point in uniform.items():
        _mark(axes, point, UNIFORM_COLOR, "s")
        text = f"{bits} bit{'s' * (bits > 1)}" + (" everywhere" if bits < 4 else "")
        _label(axes, point, text, (0, {2: 18, 1: -38}.get(bits, 12)), UNIFORM_COLOR)
    for points, marker in ((PUBLISHED[CELL][1:], "o"), (FRONT, "^")):
        axes.plot([each.reduction for each in points], [each.accuracy for each in points], marker, color=THEIRS)
    last = max(PUBLISHED[CELL], key=lambda each: each.reduction)
    theirs = Point(last.accuracy, 0, last.reduction)
    _label(
        axes,
        theirs,
        "MixQ-GNN, as published (simulated\nin floating point); triangles: best of\nall allocations, chosen on test",
        (12, 0),
        THEIRS,
        align="left",
    )
    agent = sorted(set(agent), key=lambda point: point.reduction)
    axes.plot([each.reduction for each in agent], [each.accuracy for each in agent], color=OURS, linewidth=1.2)
    for point in agent:
        _mark(axes, point, OURS, "*", size=15)
    best = agent[-1]
    change = best.accuracy - float32.accuracy
    text = f"found by the agent:\n{best.reduction:.0f}× fewer bit operations,\n{change:+.1f} points"
    _label(axes, best, text, (0, 22), OURS, weight="bold", size=11)
    axes.set_xlim(0, 35)
    axes.set_ylim(66, 90)
    ticks = (1, 4, 8, 16, 24, 32)
    axes.set_xticks(ticks, [f"{tick}×" for tick in ticks])
    axes.set_xlabel("reduction in bit operations (float32 = 1×)")
    axes.set_ylabel("test accuracy in %")
    title = f"Two-layer GCN on Cora: mean ± standard deviation over {float32.seeds} seeds, executed on integers"
    axes.set_title(title, size=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _mark(axes: Axes, point: Point, color: str, marker: str, size: float = 8) -> None:
    axes.errorbar(
        point.reduction,
        point.accuracy,
        yerr=point.spread,
        color=color,
        marker=marker,
        markersize=size,
        elinewidth=1.2,
        capsize=2,
        zorder=3,
    )


def _label(
    axes: Axes,
    point: Point,
    text: str,
    offset: tuple[float, float],
    color: str,
    *,
    align: str = "center",
    weight: str = "normal",
    size: float = 10,
) -> None:
    axes.annotate(
        text,
        (point.reduction, point.accuracy),
        xytext=offset,
        textcoords="offset points",
        ha=align,
        va="bottom" if offset[1] > 0 else "center",
        color=color,
        weight=weight,
        size=size,
    )


if __name__ == "__main__":
    typer.run(main)
