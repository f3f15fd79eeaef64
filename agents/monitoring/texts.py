"""Tables in Markdown, for TensorBoard's tab of texts."""

from collections.abc import Mapping, Sequence

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
    rows = [_row("★" if evaluation == best else "", evaluation, reference, objective) for evaluation in shown]
    rows.insert(0, _row("float32", reference, reference, objective))
    headings = _headings(objective, metric)
    if any(evaluation.estimate is not None for evaluation in shown):
        headings.insert(2, f"estimated {metric.title} (%)")
        for row, evaluation in zip(rows, [reference, *shown], strict=True):
            row.insert(2, percent(evaluation.merit, sign=False))
    chosen = [[name, str(width)] for name, width in zip(components, best.allocation, strict=True)]
    bits_table = _table(["component", "bits"], chosen)
    return f"{_table(headings, rows)}\n\n★ highest reward so far:\n\n{bits_table}"


def final_text(result: RunResult) -> str:
    """Return the table of a run's networks."""
    headings = _headings(result.objective, result.metric)
    headings.insert(2, f"test {result.metric.title} (%)")
    rows = []
    for finalist in result.finalists:
        label = f"{finalist.label} ★" if finalist is result.best else finalist.label
        row = _row(label, finalist.evaluation, result.reference, result.objective)
        row.insert(2, percent(finalist.test_accuracy, sign=False))
        rows.append(row)
    return f"{_table(headings, rows)}\n\n★ {result.choice}"


def _headings(objective: Objective, metric: Metric) -> list[str]:
    column = objective.column
    own = [] if column is None else [column.saving, column.unit]
    return [
        "",
        f"validation {metric.title} (%)",
        "reduction",
        "BitOPs (linear)",
        *own,
        "bits, in the components' order",
    ]


def _row(label: str, evaluation: Evaluation, reference: Evaluation, objective: Objective) -> list[str]:
    column = objective.column
    own = (
        []
        if column is None
        else [times(objective.saving(evaluation, reference), 2), column.write(objective.cost(evaluation))]
    )
    return [
        label,
        percent(evaluation.accuracy, sign=False),
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
