"""Figures for TensorBoard only: bits over the search, accuracy against bit operations, cost of components."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

from mixq_rl.agents.quantities import bits, tick
from mixq_rl.agents.records.result import ComponentShare
from mixq_rl.agents.report.plots import LINES, TEXT_POINTS, symbol
from mixq_rl.agents.report.series import SERIES
from mixq_rl.datasets.metrics import ACCURACY, Metric
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["accuracy_figure", "bits_figure", "cost_figure"]

_COLUMNS = 64
_SIZE = (5.0, 3.8)  # inches: TensorBoard shows figures small, so text must be large
_ROW_INCHES = 0.19
_TICKS = FuncFormatter(lambda value, _: tick(value))


def bits_figure(
    evaluations: Sequence[Evaluation], components: Sequence[str], bit_widths: Sequence[int], *, title: str = ""
) -> Figure:
    """Return a heat map of the mean bit-width of each component over the evaluations, in at most 64 columns.

    Args:
        evaluations: in the order they were made, at least one.
        components: names, in the order of the allocations.
        bit_widths: allowed bit-widths, ascending.
        title: above the axes.
    """
    allocations = np.array([evaluation.allocation for evaluation in evaluations], dtype=float)
    width = -(-len(allocations) // _COLUMNS)
    edges = [*range(0, len(allocations), width), len(allocations)]
    means = np.array([allocations[left:right].mean(axis=0) for left, right in pairwise(edges)])
    figure, axes = _rows(components, title)
    low, high = bit_widths[0], bit_widths[-1]
    norm = LogNorm(low, high) if low < high else LogNorm(low / 2, 2 * high)
    mesh = axes.pcolormesh(edges, np.arange(len(components) + 1) - 0.5, means.T, norm=norm, cmap="YlGnBu")
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("distinct evaluations")
    bar = figure.colorbar(mesh, ax=axes, label="mean bit-width (bits)", ticks=list(bit_widths), aspect=30)
    bar.ax.yaxis.set_major_formatter(ScalarFormatter())
    bar.ax.minorticks_off()
    return figure


def accuracy_figure(
    evaluations: Sequence[Evaluation], reference: Evaluation, *, title: str = "", metric: Metric = ACCURACY
) -> Figure:
    """Return the metric against bit operations of all evaluations; later ones are darker.

    Float32 and allocations of one bit-width everywhere are marked.

    Args:
        evaluations: in the order they were made, at least one.
        reference: the float32 model.
        title: above the axes.
        metric: the measure that the accuracies are values of.
    """
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    points = axes.scatter(
        [evaluation.bitops for evaluation in evaluations],
        [100 * evaluation.accuracy for evaluation in evaluations],
        c=np.arange(1, len(evaluations) + 1),
        cmap="viridis_r",
        vmin=1,
        s=12,
        label=f"{SERIES['evaluated'].name} ({len(evaluations)})",
    )
    uniform = [evaluation for evaluation in evaluations if len(set(evaluation.allocation)) == 1]
    if uniform:
        axes.plot(
            [evaluation.bitops for evaluation in uniform],
            [100 * evaluation.accuracy for evaluation in uniform],
            **{**symbol("uniform"), "markerfacecolor": "none"},
            label=SERIES["uniform"].name,
        )
    for evaluation in uniform:
        place = (evaluation.bitops, 100 * evaluation.accuracy)
        text = f"{bits(evaluation.allocation)} bits"
        axes.annotate(text, place, (6, 0), textcoords="offset points", va="center", fontsize=TEXT_POINTS)
    colour, style = LINES["float32"]
    axes.scatter(reference.bitops, 100 * reference.accuracy, marker="X", color=colour, label="float32")
    axes.axhline(100 * reference.accuracy, color=colour, linewidth=1, linestyle=style)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(_TICKS)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.08, y=0.08)
    axes.set_xlabel("bit operations (linear convention)")
    axes.set_ylabel(f"validation {metric.title} (%)")
    axes.set_title(title, parse_math=False)
    axes.grid(alpha=0.3)
    figure.legend(fontsize=TEXT_POINTS, loc="outside lower center", ncols=2)
    figure.colorbar(points, ax=axes, label="distinct evaluation", aspect=30)
    return figure


def cost_figure(shares: Sequence[ComponentShare], *, title: str = "") -> Figure:
    """Return the kernel time and the bit operations of each component, as bars.

    Components that no operation computes have no time.

    Args:
        shares: cost of each component of a network.
        title: above the axes.
    """
    figure = Figure(figsize=(_SIZE[0] + 0.6, _height(len(shares))), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(shares))
    left.barh(rows, [1e3 * share.seconds for share in shares], color="tab:blue")
    left.set_xlabel("kernel time (ms)")
    right.barh(rows, [share.bitops for share in shares], color="tab:orange")
    right.xaxis.set_major_locator(MaxNLocator(4))
    right.xaxis.set_major_formatter(_TICKS)
    right.set_xlabel("bit operations (linear)")
    left.set_yticks(rows, [f"{share.name}: {share.bits}" for share in shares], fontsize=TEXT_POINTS, parse_math=False)
    left.set_ylabel("component: bits")
    left.invert_yaxis()
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    figure.suptitle(title, parse_math=False, fontsize="medium")
    return figure


def _rows(components: Sequence[str], title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_SIZE[0], _height(len(components))), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(np.arange(len(components)), components, fontsize=TEXT_POINTS, parse_math=False)
    axes.set_title(title, parse_math=False, fontsize="medium")
    return figure, axes


def _height(rows: int) -> float:
    return 1.6 + _ROW_INCHES * max(rows, 8)
