"""The networks of a run beside each other: float32, uniform bits, the agent's front."""

from collections.abc import Sequence
from itertools import groupby

from mixq_rl.agents.records.result import Finalist, RunResult
from mixq_rl.agents.report.intervals import wilson_interval
from mixq_rl.agents.report.markup import Markup, element, joined
from mixq_rl.agents.report.quantities import milliseconds, percent, power_of_ten, times
from mixq_rl.agents.report.scales import LinearScale
from mixq_rl.evaluation.objective import Objective

__all__ = ["network_table"]


def network_table(result: RunResult) -> Markup:
    """Return a table with a body for each network: accuracies, bit operations, time if that was saved, and bits."""
    timed = result.objective is Objective.LATENCY
    unit, unit_name = power_of_ten([f.evaluation.bitops for f in result.finalists])
    product_unit, product_name = power_of_ten([f.evaluation.product_bitops for f in result.finalists])
    headings = [
        element("th", "network", scope="col"),
        _heading("val", "%"),
        _heading("test, %", "95 % interval"),
        element("th", class_="picture", aria_hidden="true"),
        _heading("BitOPs", f"linear, {unit_name}".rstrip(", ")),
        _heading("BitOPs", f"product, {product_name}".rstrip(", ")),
        *([_heading("time", "ms")] if timed else []),
    ]
    axis = _axis(result)

    def row(finalist: Finalist) -> Markup:
        evaluation, best = finalist.evaluation, finalist is result.best
        low, high = wilson_interval(finalist.test_accuracy, result.counts["test"])
        cells = [
            element("th", finalist.label, *([element("small", "★ best")] if best else []), scope="row"),
            _number(percent(evaluation.accuracy, sign=False)),
            _number(percent(finalist.test_accuracy, sign=False), f"{100 * low:.1f}–{100 * high:.1f}"),
            element("td", _interval(finalist, result, axis), class_="picture", aria_hidden="true"),
            _number(times(evaluation.reduction), f"{evaluation.bitops / unit:.3f}"),
            _number(times(evaluation.product_reduction), f"{evaluation.product_bitops / product_unit:.3f}"),
        ]
        if timed:
            speed = result.objective.saving(evaluation, result.reference)
            cells.append(_number(f"{speed:.2f}×", milliseconds(evaluation.seconds)))
        rows = [element("tr", *cells)]
        if len(set(evaluation.allocation)) > 1:
            rows.append(element("tr", element("td", _bits(finalist, result), colspan=len(headings)), class_="bits"))
        return element("tbody", *rows, class_="best" if best else None)

    return element(
        "div",
        element(
            "table",
            element("thead", element("tr", *headings)),
            *(row(finalist) for finalist in result.finalists),
            class_="networks",
        ),
        class_="scroll",
    )


def _heading(name: str, unit: str) -> Markup:
    return element("th", name, element("small", unit), scope="col", class_="number")


def _number(value: str, below: str | None = None) -> Markup:
    return element("td", value, *([] if below is None else [element("small", below)]), class_="number")


def _bits(finalist: Finalist, result: RunResult) -> Markup:
    layers = [share.layer for share in result.shares]
    groups = groupby(zip(layers, finalist.evaluation.allocation, strict=True), key=lambda pair: pair[0])
    return joined(
        element("span", "bits ", class_="muted"),
        *(element("span", " ".join(str(bits) for _, bits in group), class_="layer") for _, group in groups),
        between=" ",
    )


def _axis(result: RunResult) -> LinearScale:
    count = result.counts["test"]
    ends = [end for f in result.finalists for end in wilson_interval(f.test_accuracy, count)]
    return LinearScale.around(ends, 0.03, 0.01)


def _interval(finalist: Finalist, result: RunResult, axis: LinearScale) -> Markup:
    """Draw the test accuracy and its interval, with a line where float32 is."""
    low, high = wilson_interval(finalist.test_accuracy, result.counts["test"])
    x1, x2, at, reference = _percentages(axis, (low, high, finalist.test_accuracy, result.finalists[0].test_accuracy))
    return element(
        "svg",
        element("line", x1=reference, x2=reference, y1="0", y2="100%", class_="float32"),
        element("line", x1=x1, x2=x2, y1="50%", y2="50%", class_="whisker"),
        element("circle", cx=at, cy="50%", r=3.5),
        class_="interval",
    )


def _percentages(axis: LinearScale, values: Sequence[float]) -> list[str]:
    return [f"{100 * axis.place(value):.2f}%" for value in values]
