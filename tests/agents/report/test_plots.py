import io
from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from mixq_rl.agents.report.label_placement import place_labels
from mixq_rl.agents.report.pareto_points import ParetoPoints
from mixq_rl.agents.report.plots import pareto_figure
from mixq_rl.agents.report.series import SERIES
from mixq_rl.evaluation.objective import Objective, objectives
from mixq_rl.evaluation.protocol import Evaluation
from tests.agents.report.runs import evaluations, run_result

FLOAT = Evaluation((32,), 0.8, 1600.0, 1.0, 1600.0, 1.0)
POINTS = [replace(FLOAT, allocation=(bits,), reduction=32 / bits, accuracy=0.1 * bits) for bits in (2, 4, 8)]


def legend_of(figure: Figure) -> list[str]:
    figure.savefig(io.BytesIO(), format="png")
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_draws_what_it_is_given_whatever_the_title() -> None:
    points = ParetoPoints(POINTS, FLOAT, uniform=[("uniform 8", POINTS[2])], tuned=[("agent $1$", POINTS[0])])
    figure = pareto_figure(points, title="a$_$ [b] \\x")
    names = [
        "evaluated in the search (3)",
        "front, as searched",
        "mixed bits, fine-tuned",
        "one bit-width everywhere, fine-tuned",
        "float32, 80.0\N{NO-BREAK SPACE}%",
    ]
    assert legend_of(figure) == names
    assert figure.axes[0].get_title() == "a$_$ [b] \\x"


@pytest.mark.parametrize("objective", list(map(objectives.__getitem__, objectives)))
def test_axes_points_and_labels_are_those_of_the_page(objective: Objective) -> None:
    result = run_result(objective=objective, majority=0.7)
    points = ParetoPoints.of(result, evaluations(result))
    figure = pareto_figure(points)
    legend = legend_of(figure)
    (axes,) = figure.axes
    assert axes.get_xlim() == pytest.approx((points.horizontal.low, points.horizontal.high))
    assert axes.get_ylim() == pytest.approx((100 * points.vertical.low, 100 * points.vertical.high))
    assert [text.get_text() for text in axes.get_xticklabels()] == [text for text, *_ in points.savings]
    assert [text.get_text() for text in axes.get_yticklabels()] == [text for text, *_ in points.accuracies]
    assert axes.get_xlabel() == points.label
    assert legend == [*(name for _, name in points.legend), *(line.legend for line in points.lines)]
    lines = {line.get_label(): line for line in axes.lines}
    for kind, name in points.legend:
        drawn = [p for p in [*points.evaluated, *points.front, *points.finalists] if p.kind == kind]
        assert sorted(lines[name].get_xdata()) == pytest.approx(sorted(point.saving for point in drawn))
        places = axes.transLimits.transform(axes.transScale.transform(lines[name].get_xydata()))
        assert places.tolist() == [[pytest.approx(p.x), pytest.approx(1 - p.y)] for p in drawn]
        assert SERIES[kind].colour.light in (lines[name].get_markerfacecolor(), lines[name].get_markeredgecolor())
    written = [text.get_text() for text in axes.texts]
    assert written[0] == "agent 2"
    assert set(written) <= {label.text for label in points.labels}
    box = axes.get_window_extent()
    pixels = 72 / figure.dpi * 12 / 8
    sides = place_labels(points.labels, points.marks, box.width * pixels, box.height * pixels)
    assert len(written) == sum(side is not None for side in sides)


def test_fronts_of_other_searches_are_drawn_within_the_axes() -> None:
    points = ParetoPoints(POINTS[1:], FLOAT, rivals={"tpe": POINTS[:2], "random": POINTS[2:]})
    figure = pareto_figure(points)
    assert legend_of(figure)[:2] == ["tpe (2)", "random (1)"]
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    assert low < 4 < 16 < high
    assert [8, 16] in [list(line.get_xdata()) for line in axes.lines]
