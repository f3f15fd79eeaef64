"""Figures of a search."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from mixq_rl.agents.pareto import pareto_front
from mixq_rl.evaluation.objective import Objective
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["pareto_figure"]

_RIVAL_MARKERS = "v^<>xP"
_LABELS = {
    Objective.BITOPS: "reduction in bit operations against float32 (linear convention)",
    Objective.LATENCY: "speed-up against float32 (measured)",
}


def pareto_figure(
    evaluations: Iterable[Evaluation],
    reference: Evaluation,
    *,
    objective: Objective = Objective.BITOPS,
    uniform: Sequence[tuple[str, Evaluation]] = (),
    tuned: Sequence[Evaluation] = (),
    rivals: Mapping[str, Sequence[Evaluation]] = MappingProxyType({}),
    title: str = "",
) -> Figure:
    """Draw accuracy against saving: all evaluations, their front, and what it is to be compared with.

    Args:
        evaluations: all that were made in the search.
        reference: the float32 model.
        objective: says what the saving is.
        uniform: labelled allocations of one bit-width everywhere, fine-tuned if the front's points are.
        tuned: the front's points after fine-tuning.
        rivals: what other searches evaluated, by name; their fronts are drawn.
        title: above the axes.
    """
    evaluations = list(evaluations)
    saving = partial(objective.saving, reference=reference)
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.scatter(
        [saving(e) for e in evaluations],
        [100 * e.accuracy for e in evaluations],
        s=8,
        color="0.75",
        label=f"evaluated ({len(evaluations)})",
    )
    front = pareto_front(evaluations, saving)
    axes.plot(
        [saving(e) for e in front],
        [100 * e.accuracy for e in front],
        drawstyle="steps-pre",
        marker="o",
        markersize=4,
        color="tab:blue",
        label="front, as searched",
    )
    for index, (name, found) in enumerate(rivals.items()):
        other = pareto_front(found, saving)
        axes.plot(
            [saving(e) for e in other],
            [100 * e.accuracy for e in other],
            drawstyle="steps-pre",
            marker=_RIVAL_MARKERS[index % len(_RIVAL_MARKERS)],
            markersize=4,
            linestyle=":",
            linewidth=1,
            color=f"C{4 + index % 6}",
            label=f"{name} ({len(found)})",
        )
    if tuned:
        axes.scatter(
            [saving(e) for e in tuned],
            [100 * e.accuracy for e in tuned],
            marker="*",
            s=70,
            color="tab:red",
            zorder=3,
            label="front, fine-tuned",
        )
    for index, (label, evaluation) in enumerate(uniform):
        axes.scatter(
            saving(evaluation),
            100 * evaluation.accuracy,
            marker="s",
            color="tab:orange",
            zorder=3,
            label=None if index else "uniform, fine-tuned" if tuned else "uniform",
        )
        axes.annotate(
            label,
            (saving(evaluation), 100 * evaluation.accuracy),
            xytext=(0, -14),
            ha="center",
            textcoords="offset points",
            fontsize=8,
        )
    axes.axhline(100 * reference.accuracy, color="black", linewidth=1, linestyle="--", label="float32")
    axes.set_xscale("log", base=2)
    if objective is Objective.LATENCY:
        # Speed-ups may lie between two powers of 2, where a logarithmic axis has no ticks.
        axes.xaxis.set_major_locator(MaxNLocator(8))
    else:
        axes.xaxis.set_major_locator(LogLocator(base=2, subs=(1, 1.5)))
    axes.margins(x=0.08, y=0.08)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.set_xlabel(_LABELS[objective])
    axes.set_ylabel("validation accuracy (%)")
    axes.set_title(title, parse_math=False)
    axes.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)  # inside it would hide points
    return figure
