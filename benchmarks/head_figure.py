"""Draws docs/pareto.png: test accuracy on Cora against how many times fewer bit operations than float32.

Our numbers come from ``results/train.json``: mean ± standard deviation over its seeds. Those of MixQ-GNN are the
published ones.

    python benchmarks/head_figure.py
"""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure

RESULTS = Path(__file__).parent / "results" / "train.json"
FIGURE = Path(__file__).parent.parent / "docs" / "pareto.png"
DATASET = "Cora"
UNIFORM = {"uniform 8": "8 bits everywhere", "uniform 4": "4 bits everywhere", "uniform 2": "2 bits everywhere"}
OURS, UNIFORM_COLOR, THEIRS = "#d1495b", "#2f6690", "#6c757d"


class Point(NamedTuple):
    """One way of choosing bit-widths.

    Attributes:
        accuracy: on the test split in %, mean over seeds.
        spread: standard deviation of the accuracy in points.
        reduction: float32's bit operations over those of the network, convention ``linear``, mean over seeds.
        runs: accuracy and reduction of each seed.
    """

    accuracy: float
    spread: float
    reduction: float
    runs: tuple[tuple[float, float], ...] = ()


# From the experiment logs published with the code of MixQ-GNN (ICDE 2025): two-layer GCN, 128 hidden channels,
# bit-widths {2, 4, 8}, Cora, with penalties on bits of about 0, of 0.1 and of 1. Accuracy in %, its standard deviation,
# and bit operations in 10⁹. The accuracies come from fake quantization in floating point.
MIXQ_FLOAT32 = 16.110
MIXQ = tuple(
    Point(accuracy, spread, MIXQ_FLOAT32 / bitops)
    for accuracy, spread, bitops in ((81.58, 0.75, 3.950), (77.72, 2.85, 3.347), (68.68, 2.72, 1.676))
)


def main(
    path: Annotated[Path, typer.Argument(help="Results of train.py.")] = RESULTS,
    output: Annotated[Path, typer.Option(help="The picture.")] = FIGURE,
) -> None:
    runs = [run["networks"] for run in json.loads(path.read_text())["runs"] if run["dataset"] == DATASET]
    points = {name: average([networks[name] for networks in runs]) for name in ("float32", *UNIFORM, "best")}
    draw(points, output)


def average(rows: Sequence[dict[str, Any]]) -> Point:
    """Return the point of one network, trained with two seeds or more."""
    runs = tuple((100 * row["test_accuracy"], row["reduction"]) for row in rows)
    accuracies, reductions = zip(*runs, strict=True)
    return Point(statistics.mean(accuracies), statistics.stdev(accuracies), statistics.mean(reductions), runs)


def draw(points: dict[str, Point], path: Path) -> None:
    """Draw float32, uniform bits, the agent's best network, and MixQ-GNN."""
    figure = Figure(figsize=(8.4, 4.6), layout="constrained")
    axes = figure.subplots()
    reference, best = points["float32"], points["best"]
    axes.axhline(reference.accuracy, color="black", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    _mark(axes, reference, "black", "o")
    _label(axes, reference, "float32", (0, -24), "black")
    for name, label in UNIFORM.items():
        _mark(axes, points[name], UNIFORM_COLOR, "s")
        offset = (0, -26) if name == "uniform 2" else (0, 14)
        _label(axes, points[name], label, offset, UNIFORM_COLOR)
    axes.plot([point.reduction for point in MIXQ], [point.accuracy for point in MIXQ], color=THEIRS, linewidth=1)
    for point in MIXQ:
        _mark(axes, point, THEIRS, "o")
    _label(axes, MIXQ[-1], "MixQ-GNN, as published\n(simulated in floating point)", (-14, -4), THEIRS, align="right")
    for accuracy, reduction in best.runs:
        axes.plot(reduction, accuracy, "*", color=OURS, markersize=9, alpha=0.35, markeredgewidth=0)
    _mark(axes, best, OURS, "*", size=19)
    text = f"found by the agent:\n{best.reduction:.1f}× fewer bit operations\nat float32's accuracy"
    _label(axes, best, text, (0, 18), OURS, weight="bold", size=11)
    axes.set_xlim(0, 18.5)
    axes.set_ylim(65, 88)
    axes.set_xticks([1, 4, 8, 12, 16], ["1×", "4×", "8×", "12×", "16×"])
    axes.set_xlabel("reduction in bit operations (float32 = 1×)")
    axes.set_ylabel("test accuracy in %")
    axes.set_title(
        f"Two-layer GCN on {DATASET}: mean ± standard deviation over {len(best.runs)} seeds (small stars: each seed)",
        size=10,
        loc="left",
    )
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
