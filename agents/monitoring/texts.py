"""Tables in Markdown, for TensorBoard's tab of texts."""

from collections.abc import Mapping, Sequence
from functools import partial

from mixq_rl.agents.quantities import bit_operations, bits, percent, times
from mixq_rl.agents.records.result import RunResult
from mixq_rl.datasets.metrics import ACCURACY, Metric
from mixq_rl.envs import Reward
from mixq_rl.evaluation.objective import Objective
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.printable import printable

__all__ = ["allocations_text", "configuration_text", "final_text"]


def configuration_text(values: Mapping[str, object]) -> str:
    """Return a table of a run's settings."""
    return _table(["setting", "value"], [[name, _shown(value)] for name, value in values.items()])


def allocations_text(
    front: Sequence[Evaluation],
    best: Evaluation,
    reference: Evaluation,
    components: Sequence[str],
    *,
    reward: Reward,
    metric: Metric = ACCURACY,
) -> str:
    """Return a table of a front, with a star at the highest reward, and a table of that allocation's bits.

    Evaluations that have an ``estimate`` are compared by it, so it has a column.
    """
    objective = reward.objective
    shown = sorted(dict.fromkeys([*front, best]), key=lambda e: objective.saving(e, reference))
    estimated = best.estimate is not None
    headings, row = _headings(objective, metric, estimated), partial(_row, reference, objective, estimated)
    rows = [row("★" if evaluation == best else "", evaluation) for evaluation in shown]
    rows.insert(0, row("float32", reference))
    chosen = [[name, str(width)] for name, width in zip(components, best.allocation, strict=True)]
    bits_table = _table(["component", "bits"], chosen)
    return f"{_table(headings, rows)}\n\n★ highest reward so far:\n\n{bits_table}"


def final_text(result: RunResult) -> str:
    """Return the table of a run's networks."""
    headings, place = _headings(result.objective, result.metric, result.estimated), 3 if result.estimated else 2
    headings.insert(place, f"test {result.metric.title} (%)")
    rows = []
    for finalist in result.finalists:
        label = f"{finalist.label} ★" if finalist is result.best else finalist.label
        row = _row(result.reference, result.objective, result.estimated, label, finalist.evaluation)
        row.insert(place, percent(finalist.test_accuracy, sign=False))
        rows.append(row)
    return f"{_table(headings, rows)}\n\n★ {result.choice}"


def _headings(objective: Objective, metric: Metric, estimated: bool) -> list[str]:
    column = objective.column
    own = [] if column is None else [column.saving, column.unit]
    return [
        "",
        f"validation {metric.title} (%)",
        *([f"estimated {metric.title} (%)"] if estimated else []),
        "reduction",
        "BitOPs (linear)",
        *own,
        "bits, in the components' order",
    ]


def _row(reference: Evaluation, objective: Objective, estimated: bool, label: str, evaluation: Evaluation) -> list[str]:
    column = objective.column
    own = (
        []
        if column is None
        else [times(objective.saving(evaluation, reference), 2), column.write(objective.cost(evaluation))]
    )
    return [
        label,
        percent(evaluation.accuracy, sign=False),
        *([percent(evaluation.merit, sign=False)] if estimated else []),
        times(evaluation.reduction, 2),
        bit_operations(evaluation.bitops),
        *own,
        bits(evaluation.allocation),
    ]


def _shown(value: object) -> str:
    if value is None:
        return "default"
    return printable(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(entry.replace("|", "\\|") for entry in line) + " |" for line in lines)
