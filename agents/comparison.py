"""Comparison of searches at equal numbers of distinct evaluations."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich import box
from rich.markup import escape
from rich.table import Table
from scipy.stats import t as student

from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.prepared_evaluator import opened
from mixq_rl.agents.records.trace import Trace, traces
from mixq_rl.datasets.metrics import metrics
from mixq_rl.errors import InputError
from mixq_rl.evaluation.store import EvaluatorDescription
from mixq_rl.printable import printable

__all__ = [
    "compare_runs",
    "comparison_figure",
    "comparison_table",
    "estimate",
    "measures",
    "search_document",
]

_CONFIDENCE = 0.95
_POINTS = 48
_DROPS = (0.3, 1.0)


def compare_runs(folders: Sequence[Path]) -> dict[str, list[Trace]]:
    """Return the searches in run folders, by fingerprint of the evaluator.

    If several folders hold the same search with the same seed, the longest is returned.

    Args:
        folders: run folders of ``mixq-rl search`` or ``mixq-rl train``.

    Raises:
        InputError: for a folder without a store of evaluations, or with an empty one.
        ArtifactError: for a damaged store.
    """
    longest: dict[tuple[str, str, int], Trace] = {}
    for folder in folders:
        path = RunFolder.read(folder).evaluations
        if not path.is_file():
            raise InputError(f"{str(folder)!r} holds no {path.name}: nothing was evaluated in this run yet")
        with opened(path, read_only=True) as store:
            found = [(fingerprint, trace) for fingerprint in store.evaluators() for trace in traces(store, fingerprint)]
        for fingerprint, trace in found:
            key = (fingerprint, trace.search, trace.seed)
            if key not in longest or len(trace.evaluations) > len(longest[key].evaluations):
                longest[key] = trace
    if not longest:
        raise InputError(f"no search has asked for an evaluation in {', '.join(str(folder) for folder in folders)}")
    grouped: dict[str, list[Trace]] = {}
    for (fingerprint, _, _), trace in longest.items():
        grouped.setdefault(fingerprint, []).append(trace)
    return grouped


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, and half the width of its 95 % interval (Student's t); NaN for a single seed."""

    mean: float
    half_width: float
    count: int

    def text(self, digits: int) -> str:
        """Return ``mean ± half width``."""
        shown = f"{self.mean:.{digits}f}"
        return shown if math.isnan(self.half_width) else f"{shown} ± {self.half_width:.{digits}f}"


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of values over seeds, with its interval."""
    count = len(values)
    if count < 2:
        return Estimate(float(np.mean(values)), math.nan, count)
    factor = float(student.ppf(0.5 + _CONFIDENCE / 2, count - 1))
    return Estimate(float(np.mean(values)), factor * float(np.std(values, ddof=1)) / math.sqrt(count), count)


def measures(trace: Trace, count: int) -> dict[str, float]:
    """Return the measures of a search after ``count`` evaluations, by heading of the table."""
    return {
        "hypervolume": trace.hypervolume(count),
        **{f"reduction within {drop:g}": trace.best_reduction(count, drop / 100) for drop in _DROPS},
        "area": trace.area(count),
    }


def comparison_table(found: Sequence[Trace], budgets: Sequence[int]) -> Table:
    """Return the table of one problem: a row for each search at each budget that at least one search has spent.

    A search that ended before a budget is measured at its end.

    Args:
        found: searches of one problem.
        budgets: numbers of distinct evaluations.
    """
    problem = found[0].description
    widths = ", ".join(map(str, problem.bit_widths))
    common = _common(found)
    table = Table(
        title=f"{escape(printable(problem.name))}: {len(problem.components)} components at {widths} bits, "
        f"by {metrics[problem.metric].title}" + (f"\n{escape(printable(common))}" if common else ""),
        caption="mean ± half of the 95 % interval over seeds; reduction within N: at most N points below float32;\n"
        "area: mean hypervolume over the evaluations up to here",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for heading in ("evaluations", "search", "seeds"):
        table.add_column(heading, no_wrap=True)
    longest = max(len(trace.evaluations) for trace in found)
    names = sorted({trace.search for trace in found})
    headings = list(measures(found[0], 1))
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for budget in [budget for budget in budgets if budget <= longest] or [longest]:
        rows = []
        for name in names:
            own = [measures(trace, budget) for trace in found if trace.search == name]
            entries = [estimate([row[heading] for row in own]) for heading in headings]
            digits = [2 if heading.startswith("reduction") else 4 for heading in headings]
            texts = [entry.text(places) for entry, places in zip(entries, digits, strict=True)]
            shown = name.removesuffix(f", {common}") if common else name
            rows.append((entries[0].mean, [escape(printable(shown)), str(len(own)), *texts]))
        rows.sort(key=lambda row: -row[0])
        for index, (_, row) in enumerate(rows):
            table.add_row(str(budget) if not index else "", *row, end_section=index == len(rows) - 1)
    return table


def _common(found: Sequence[Trace]) -> str:
    """Return what follows the algorithm in the names of all searches: reward and constraints."""
    ends = {trace.search.partition(", ")[2] for trace in found}
    return ends.pop() if len(ends) == 1 else ""


def search_document(found: Sequence[Trace]) -> list[dict[str, object]]:
    """Return the measures of each search at its end, in plain values."""
    return [
        {
            "problem": trace.description.name,
            "metric": trace.description.metric,
            "search": trace.search,
            "seed": trace.seed,
            "evaluations": len(trace.evaluations),
            **measures(trace, len(trace.evaluations)),
        }
        for trace in found
    ]


def comparison_figure(
    grouped: Sequence[Sequence[Trace]], *, best: Callable[[EvaluatorDescription], float | None] = lambda problem: None
) -> Figure:
    """Draw hypervolume against evaluations, a panel for each problem: means over seeds, 95 % intervals shaded.

    Args:
        grouped: searches of each problem.
        best: returns the hypervolume of a problem's true front, which is drawn as a line; None: not known.
    """
    figure = Figure(figsize=(5.2 * len(grouped), 4.2), layout="constrained")
    panels = figure.subplots(1, len(grouped), squeeze=False)[0]
    for axes, found in zip(panels, grouped, strict=True):
        low = math.inf
        for index, name in enumerate(sorted({trace.search for trace in found})):
            own = [trace for trace in found if trace.search == name]
            steps = _steps(max(len(trace.evaluations) for trace in own))
            values = [estimate([trace.hypervolume(step) for trace in own]) for step in steps]
            means = np.array([value.mean for value in values])
            widths = np.nan_to_num([value.half_width for value in values])
            color, width = f"C{index}", 2 if name == "ppo" else 1.2
            axes.plot(steps, means, label=f"{printable(name)} ({len(own)})", color=color, linewidth=width)
            axes.fill_between(steps, means - widths, means + widths, color=color, alpha=0.15, linewidth=0)
            later = means[np.asarray(steps) >= min(16, steps[-1])]
            low = min(low, float(later.min()))
        problem = found[0].description
        top = best(problem)
        if top is not None:
            axes.axhline(top, color="black", linestyle="--", linewidth=1, label="true front")
        axes.set_ylim(bottom=low - 0.01 * abs(low))
        axes.set_xscale("log", base=2)
        axes.set_xlabel("distinct evaluations")
        axes.set_title(printable(problem.name), parse_math=False)
        axes.grid(alpha=0.3)
        for text in axes.legend(fontsize=8, loc="lower right").get_texts():
            text.set_parse_math(False)
    titles = sorted({metrics[found[0].description.metric].title for found in grouped})
    panels[0].set_ylabel(f"hypervolume in (log2 reduction, validation {' or '.join(titles)})")
    return figure


def _steps(count: int) -> list[int]:
    """Return numbers from 1 to ``count``, evenly spread on a logarithmic axis."""
    return sorted({round(step) for step in np.geomspace(1, max(count, 1), _POINTS)})
