"""Tables of a run's networks, for the screen and as CSV."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from mixq_rl.agents.quantities import area, bits, percent, power_of_ten, times
from mixq_rl.agents.records.policy_record import LearnedTask
from mixq_rl.agents.records.result import ExpectedChange, Finalist, RunResult
from mixq_rl.datasets.metrics import ACCURACY, Metric
from mixq_rl.evaluation.objective import BITOPS, Objective
from mixq_rl.printable import printable
from mixq_rl.storage.files import replace_file

__all__ = ["allocation_table", "bits_table", "final_table", "headline", "policy_table", "write_csv"]

_CAPTION = "bits: in the order of the components. ★ best: the integer network of\n"


def final_table(
    finalists: Sequence[Finalist],
    best: Finalist,
    chosen_by: str,
    objective: Objective = BITOPS,
    metric: Metric = ACCURACY,
    change: ExpectedChange | None = None,
) -> Table:
    """Return the table of the metric, bit operations, reductions and bit-widths. It fits 80 columns.

    It has a column of the estimates by which networks were chosen, if there are any.

    Args:
        finalists: the networks, float32 first.
        best: one of them; its row is marked.
        chosen_by: the rule that chose it, for the caption.
        objective: one other than bit operations adds a column of its cost and its saving.
        metric: the measure that the accuracies are values of.
        change: the expected change of the best network against float32, for the caption.
    """
    column, reference = objective.column, finalists[0].evaluation
    expected = (
        ""
        if change is None
        else (
            f"\n★ against float32 on test, expected from validation: {100 * change.expected:+.1f} points\n"
            f"(95 % interval {100 * change.low:+.1f} to {100 * change.high:+.1f})"
        )
    )
    estimated = best.evaluation.estimate is not None
    unit = power_of_ten(finalist.evaluation.bitops for finalist in finalists)
    bitops = f"BitOPs in {unit.name}" if unit.name else "BitOPs"
    table = Table(
        title=f"validation{', estimated' if estimated else ''} and test {metric.title} in %, {bitops} (and reduction)"
        + (f",\n{column.heading} in {column.unit} (and {column.saving})" if column else ""),
        caption=_CAPTION
        + escape(printable(chosen_by))
        + expected
        + (f"\n{column.note}" if column and column.note else ""),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("network", no_wrap=True)
    accuracies = ["val", *(["est"] if estimated else []), "test"]
    for heading in (*accuracies, "BitOPs linear", "BitOPs product", *([column.heading] if column else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("bits", overflow="fold")
    for finalist in finalists:
        evaluation = finalist.evaluation
        own = (
            [f"{column.write(objective.cost(evaluation))} ({times(objective.saving(evaluation, reference), 2)})"]
            if column
            else []
        )
        table.add_row(
            f"{finalist.label} ★" if finalist is best else finalist.label,
            percent(evaluation.accuracy, sign=False),
            *([percent(evaluation.merit, sign=False)] if estimated else []),
            percent(finalist.test_accuracy, sign=False),
            f"{unit.write(evaluation.bitops)} ({times(evaluation.reduction)})",
            f"{unit.write(evaluation.product_bitops)} ({times(evaluation.product_reduction)})",
            *own,
            bits(evaluation.allocation),
            style="bold green" if finalist is best else None,
        )
    return table


def headline(result: RunResult) -> str:
    """Return what the best network saves against float32, and its value on the test split, in one line."""
    best, float32 = result.best, result.finalists[0]
    saved = f"{times(best.evaluation.reduction)} fewer bit operations than float32"
    tested = f"{percent(best.test_accuracy)} (float32: {percent(float32.test_accuracy)})"
    return f"{best.label}: {saved}, test {result.metric.title} {tested}"


def allocation_table(components: Sequence[str], best: Finalist) -> Table:
    """Return a table of the best network's bit-widths by component."""
    return bits_table(f"allocation of {best.label}", components, best.evaluation.allocation)


def bits_table(title: str, components: Sequence[str], allocation: Sequence[int]) -> Table:
    """Return a table of bit-widths by component."""
    table = Table(title=escape(printable(title)))
    table.add_column("component", no_wrap=True)
    table.add_column("bits", justify="right")
    for name, width in zip(components, allocation, strict=True):
        table.add_row(escape(printable(name)), str(width))
    return table


def policy_table(reached: Sequence[LearnedTask]) -> Table:
    """Return a table of the results on each task that a policy was trained on."""
    table = Table(
        title="one policy for all tasks",
        caption="on validation data: hypervolume of the search, and its greatest reduction at most one point\n"
        "below float32; policy: share of that hypervolume that the policy's own 16 allocations reach",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("task", no_wrap=True)
    for heading in ("evaluated", "hypervolume", "reduction", "policy"):
        table.add_column(heading, justify="right", no_wrap=True)
    for task in reached:
        table.add_row(
            escape(printable(task.task)),
            str(task.evaluations),
            area(task.hypervolume),
            times(task.reduction),
            percent(task.swept / task.hypervolume) if task.swept is not None and task.hypervolume else "",
        )
    return table


def write_csv(
    path: Path,
    finalists: Sequence[Finalist],
    best: Finalist,
    components: Sequence[str],
    objective: Objective = BITOPS,
    metric: Metric = ACCURACY,
) -> None:
    """Write one row for each network: the metric in [0, 1], bit operations, reductions, bits of each component.

    The first finalist is float32. Where networks were chosen by estimates of their accuracy these have a column, in
    which float32 has its validation accuracy. An objective other than bit operations adds its cost and its saving
    before the bits. Without measured times, two runs with the same seed write the same file.
    """
    column, reference = objective.column, finalists[0].evaluation
    estimated = best.evaluation.estimate is not None
    heading = [
        "network",
        "best",
        "metric",
        "validation_accuracy",
        *(["estimated_accuracy"] if estimated else []),
        "test_accuracy",
        "bitops",
        "reduction",
        "product_bitops",
        "product_reduction",
        *([column.cost_field, column.saving_field] if column else []),
    ]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*heading, *components])
    for finalist in finalists:
        evaluation = finalist.evaluation
        writer.writerow(
            [
                finalist.label,
                int(finalist is best),
                metric.name,
                evaluation.accuracy,
                *([evaluation.merit] if estimated else []),
                finalist.test_accuracy,
                evaluation.bitops,
                evaluation.reduction,
                evaluation.product_bitops,
                evaluation.product_reduction,
                *([objective.cost(evaluation), objective.saving(evaluation, reference)] if column else []),
                *evaluation.allocation,
            ]
        )
    replace_file(path, text.getvalue())
