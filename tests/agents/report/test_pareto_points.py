from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.agents.report.pareto_points import ParetoPoints, outline
from mixq_rl.evaluation.objective import BITOPS, LATENCY, Objective
from mixq_rl.evaluation.protocol import Evaluation
from tests.agents.report.runs import evaluations, run_result

FLOAT = Evaluation((32,), 0.8, 1600.0, 1.0, 1600.0, 1.0)
SPACE = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("objective", "label", "savings"),
    [
        (BITOPS, "reduction in bit operations against float32 (linear convention)", [4, 8]),
        (LATENCY, "speed-up against float32 (measured)", [1.25, 1.5625]),
    ],
)
def test_points_are_placed_by_the_saving_of_the_objective(
    objective: Objective, label: str, savings: list[float]
) -> None:
    reference = replace(FLOAT, seconds=0.01)
    made = [replace(FLOAT, reduction=4, seconds=0.008), replace(FLOAT, reduction=8, accuracy=0.7, seconds=0.0064)]
    points = ParetoPoints(made, reference, objective=objective)
    assert points.label == label
    assert [point.saving for point in points.evaluated] == pytest.approx(savings)
    assert [point.x for point in points.evaluated] == [points.horizontal.place(saving) for saving in savings]
    assert len(points.savings) >= 2


def test_the_legend_says_what_is_drawn_and_whether_it_is_fine_tuned() -> None:
    made = [replace(FLOAT, allocation=(bits,), reduction=32 / bits) for bits in (2, 4, 8)]
    searching = ParetoPoints(made, FLOAT, uniform=[("uniform 4", made[1])])
    assert searching.legend == [
        ("evaluated", "evaluated in the search (3)"),
        ("searched", "front, as searched"),
        ("uniform", "one bit-width everywhere"),
    ]
    assert [label.text for label in searching.labels] == [f"float32 80.0{SPACE}%", "4 bits"]
    estimated = ParetoPoints([replace(each, estimate=0.7) for each in made], FLOAT)
    assert (searching.heading, estimated.heading) == ("validation accuracy", "estimated accuracy")
    assert [point.y for point in estimated.evaluated] == [estimated.height(0.7)] * 3
    result = run_result(majority=0.1)
    ended = ParetoPoints.of(result, evaluations(result))
    assert dict(ended.legend)["uniform"] == "one bit-width everywhere, fine-tuned"
    assert [label.text for label in ended.labels] == ["agent 2", f"float32 80.0{SPACE}%", "2 bits", "8 bits", "1"]
    assert [label.strong for label in ended.labels] == [True, False, False, False, False]
    assert [line.legend for line in ended.lines] == [
        f"float32, 80.0{SPACE}%",
        f"majority class, 10.0{SPACE}%: below the axis",
    ]


@given(st.lists(st.tuples(st.floats(1, 32), st.floats(0.5, 0.9)), min_size=1, max_size=10))
def test_an_outline_goes_right_and_down_through_the_front(pairs: list[tuple[float, float]]) -> None:
    made = [replace(FLOAT, reduction=reduction, accuracy=accuracy) for reduction, accuracy in pairs]
    points = ParetoPoints(made, FLOAT)
    corners = outline(points.front)
    assert (corners[0][0], corners[-1][1]) == (0, 1)
    assert corners == sorted(corners)
    assert [y for _, y in corners] == sorted(y for _, y in corners)
    assert {(point.x, point.y) for point in points.front} <= set(corners)


def test_nothing_has_no_outline() -> None:
    assert outline([]) == []
