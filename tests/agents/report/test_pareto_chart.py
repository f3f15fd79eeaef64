import re
from dataclasses import replace
from pathlib import Path

import pytest

from mixq_rl.agents.pareto import pareto_front
from mixq_rl.agents.records.result import RunResult
from mixq_rl.agents.report.pareto_chart import pareto_chart
from mixq_rl.agents.report.series import SERIES
from mixq_rl.evaluation.objective import Objective, objectives
from tests.agents.report.runs import Element, evaluations, parsed, run_result


def chart_of(result: RunResult) -> Element:
    return parsed(pareto_chart(result, evaluations(result)))


def points(chart: Element, kind: str) -> list[Element]:
    return [use for use in chart.one("svg", "plot").all("use") if kind in use.classes]


def place(point: Element) -> tuple[float, float]:
    x, y = (float(point.attributes[name].removesuffix("%")) for name in ("x", "y"))
    return x, y


def test_every_allocation_is_there_once_with_its_bits() -> None:
    result = run_result()
    made = evaluations(result)
    chart = chart_of(result)
    drawn = [use for use in chart.one("svg", "plot").all("use") if not {"evaluated", "below"} & use.classes]
    grey = [*points(chart, "evaluated"), *points(chart, "below")]
    assert sorted(use.attributes["data-bits"] for use in grey) == sorted(" ".join(map(str, e.allocation)) for e in made)
    assert len(points(chart, "searched")) == len(pareto_front(made))
    assert [use.one("title").text.splitlines()[0] for use in drawn if "searched" not in use.classes] == [
        "agent 1",
        "uniform 8",
        "uniform 2",
        "agent 2 ★ best",
    ]


def test_what_a_point_says_when_it_is_pointed_at() -> None:
    (best,) = points(chart_of(run_result()), "best")
    assert best.one("title").text.replace("\N{NO-BREAK SPACE}", " ").splitlines() == [
        "agent 2 ★ best",
        "79.0 % accuracy on validation data, 12.8× fewer bit operations than float32",
        "bits 4 2 2 2 4 2 2 2",
    ]


@pytest.mark.parametrize("objective", list(map(objectives.__getitem__, objectives)))
def test_more_saving_is_further_right_and_more_accuracy_higher(objective: Objective) -> None:
    result = run_result(objective=objective)
    chart = chart_of(result)
    uses = {
        use.one("title").text.split("\n")[0].removesuffix(" ★ best"): use for use in chart.all("use") if use.content
    }
    named = [finalist for finalist in result.finalists if finalist.label in uses]
    assert len(named) == 4
    for one in named:
        for other in named:
            (x1, y1), (x2, y2) = place(uses[one.label]), place(uses[other.label])
            savings = [objective.saving(f.evaluation, result.reference) for f in (one, other)]
            assert (x1 < x2) == (savings[0] < savings[1])
            assert (y1 < y2) == (one.evaluation.accuracy > other.evaluation.accuracy)


def test_an_outlier_is_at_the_lower_edge_and_says_so() -> None:
    chart = chart_of(run_result())
    (outlier,) = [use for use in chart.one("svg", "plot").all("use") if "below" in use.classes]
    assert place(outlier)[1] == 100
    assert "20.0\N{NO-BREAK SPACE}%" in outlier.one("title").text
    assert "less accurate than shown (1)" in chart.one("ul").text


@pytest.mark.parametrize(("majority", "shown"), [(0.7, True), (0.1, False)])
def test_majority_class_is_drawn_or_said_to_lie_below(majority: float, shown: bool) -> None:
    chart = chart_of(run_result(majority=majority))
    assert bool(chart.one("svg", "plot").all("line", "majority")) == shown
    assert ("below the axis" in chart.one("ul").text) != shown
    assert f"majority class, {100 * majority:.1f}" in chart.one("ul").text
    assert chart.one("svg", "plot").all("line", "float32")


def test_all_is_inside_and_labels_are_placed_for_both_widths() -> None:
    chart = chart_of(run_result())
    for use in chart.one("svg", "plot").all("use"):
        assert all(0 <= value <= 100 for value in place(use))
    for layout in ("wide", "narrow"):
        texts = [text.text for text in chart.one("g", layout).all("text")]
        assert texts[0] == "agent 2"
        assert {"1", "2 bits", "8 bits"} <= set(texts)


def test_a_best_of_one_bit_width_is_only_the_best() -> None:
    result = run_result()
    chart = chart_of(replace(result, best=result.finalists[2]))
    assert [use.one("title").text.split("\n")[0] for use in points(chart, "uniform")] == ["uniform 8"]
    assert [use.one("title").text.split("\n")[0] for use in points(chart, "best")] == ["uniform 2 ★ best"]


def test_kinds_differ_by_shape_as_well() -> None:
    shapes = [group.content[0] for group in chart_of(run_result()).one("defs").all("g")]
    drawn = {(shape.name, shape.attributes.get("d", "")) for shape in shapes if isinstance(shape, Element)}
    assert {name for name, _ in drawn} == {"circle", "rect", "path"}
    assert len(drawn) == 5  # the two circles: one is filled and small, the other a ring


def contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2.1 of two colours ``#rrggbb``."""

    def luminance(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_colours_stand_out_in_light_and_dark() -> None:
    style = Path(__file__).parents[3] / "agents" / "report" / "style.css"
    light, dark = (
        {
            name: f"#{2 * value if len(value) == 3 else value}"
            for name, value in re.findall(r"--(\w+): #([0-9a-f]+);", block)
        }
        for block in re.findall(r":root \{(.*?)\}", style.read_text(), flags=re.DOTALL)[:2]
    )
    for ground, colours in (("light", light), ("dark", dark)):
        for name in ("paper", "raised"):
            assert contrast(colours["ink"], colours[name]) >= 7
            assert contrast(colours["muted"], colours[name]) >= 4.5
        for kind, series in SERIES.items():
            least = 2 if kind in ("evaluated", "below") else 3
            assert contrast(getattr(series.colour, ground), colours["paper"]) >= least
