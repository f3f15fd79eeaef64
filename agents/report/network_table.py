"""Table of a run's networks: float32, uniform bit-widths, the agent's allocations."""

from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from mixq_rl.agents.quantities import power_of_ten
from mixq_rl.agents.records.result import Finalist, RunResult
from mixq_rl.agents.report.intervals import test_interval
from mixq_rl.agents.report.rendering import render
from mixq_rl.agents.report.scales import LinearScale

__all__ = ["network_table"]


def network_table(result: RunResult) -> Markup:
    """Return a table of the metric, bit operations, bit-widths, and the cost that the objective adds, such as time.

    It has a column of the estimates by which networks were chosen, if there are any.
    """
    unit = power_of_ten([f.evaluation.bitops for f in result.finalists])
    product_unit = power_of_ten([f.evaluation.product_bitops for f in result.finalists])
    intervals = [test_interval(result, finalist) for finalist in result.finalists]
    ends = [interval or (f.test_accuracy,) * 2 for f, interval in zip(result.finalists, intervals, strict=True)]
    axis = LinearScale.around([end for pair in ends for end in pair], 0.03, 0.01)
    column = result.objective.column
    rows = [
        _Row(
            finalist,
            best=finalist is result.best,
            interval=interval,
            low=axis.place(low),
            high=axis.place(high),
            at=axis.place(finalist.test_accuracy),
            bitops=unit.write(finalist.evaluation.bitops),
            product_bitops=product_unit.write(finalist.evaluation.product_bitops),
            saving=result.objective.saving(finalist.evaluation, result.reference),
            cost=column.write(result.objective.cost(finalist.evaluation)) if column else "",
            layers=_layers(finalist, result),
        )
        for finalist, interval, (low, high) in zip(result.finalists, intervals, ends, strict=True)
    ]
    return render(
        "networks.html.j2",
        rows=rows,
        reference=rows[0].at,
        unit=unit.name,
        product_unit=product_unit.name,
        column=column,
        metric=result.metric,
        estimated=result.estimated,
    )


@dataclass(frozen=True)
class _Row:
    """A network in the table.

    Attributes:
        finalist: the network.
        best: whether it is the best.
        interval: 95 % interval of its test accuracy; None for a metric that has none.
        low, high, at: the interval's ends and the test accuracy, as fractions of the picture's width.
        bitops, product_bitops: in the unit of the column.
        saving: by the run's objective.
        cost: by the run's objective, in the unit of its column.
        layers: bit-widths of each layer; empty if all bit-widths are equal.
    """

    finalist: Finalist
    best: bool
    interval: tuple[float, float] | None
    low: float
    high: float
    at: float
    bitops: str
    product_bitops: str
    saving: float
    cost: str
    layers: list[list[int]]


def _layers(finalist: Finalist, result: RunResult) -> list[list[int]]:
    allocation = finalist.evaluation.allocation
    if len(set(allocation)) == 1:
        return []
    pairs = zip([share.layer for share in result.shares], allocation, strict=True)
    return [[bits for _, bits in group] for _, group in groupby(pairs, key=lambda pair: pair[0])]
