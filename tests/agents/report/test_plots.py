import io
from dataclasses import replace

import pytest

from mixq_rl import Objective
from mixq_rl.agents.report.plots import pareto_figure
from mixq_rl.evaluation.protocol import Evaluation

FLOAT = Evaluation((32,), 0.8, 1600.0, 1.0, 1600.0, 1.0)


def test_draws_what_it_is_given_whatever_the_title() -> None:
    points = [replace(FLOAT, allocation=(bits,), reduction=32 / bits, accuracy=0.1 * bits) for bits in (2, 4, 8)]
    figure = pareto_figure(points, FLOAT, uniform=[("uniform 8", points[2])], tuned=points[:2], title="a$_$ [b] \\x")
    figure.savefig(io.BytesIO(), format="png")
    (axes,) = figure.axes
    assert axes.get_title() == "a$_$ [b] \\x"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["evaluated (3)", "front, as searched", "front, fine-tuned", "uniform, fine-tuned", "float32"]


@pytest.mark.parametrize(
    ("objective", "label", "places"),
    [
        (Objective.BITOPS, "reduction in bit operations against float32 (linear convention)", [4, 8]),
        (Objective.LATENCY, "speed-up against float32 (measured)", [1.25, 1.5625]),
    ],
)
def test_places_points_by_what_the_objective_says_is_saved(
    objective: Objective, label: str, places: list[float]
) -> None:
    reference = replace(FLOAT, seconds=0.01)
    points = [replace(FLOAT, reduction=4, seconds=0.008), replace(FLOAT, reduction=8, accuracy=0.7, seconds=0.0064)]
    figure = pareto_figure(points, reference, objective=objective)
    figure.savefig(io.BytesIO(), format="png")
    (axes,) = figure.axes
    assert axes.get_xlabel() == label
    assert axes.collections[0].get_offsets()[:, 0].tolist() == pytest.approx(places)
    left, right = axes.get_xlim()
    assert any(left <= tick <= right for tick in axes.get_xticks())


def test_rivals_have_fronts_of_their_own() -> None:
    points = [replace(FLOAT, allocation=(bits,), reduction=32 / bits, accuracy=0.1 * bits) for bits in (2, 4, 8)]
    uniform = [("8 bits", points[2])]
    figure = pareto_figure(points, FLOAT, uniform=uniform, rivals={"tpe": points[:2], "random": points[2:]})
    figure.savefig(io.BytesIO(), format="png")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["evaluated (3)", "front, as searched", "tpe (2)", "random (1)", "uniform", "float32"]
    lines = {line.get_label(): line.get_xdata() for line in figure.axes[0].lines}
    assert list(lines["tpe (2)"]) == [8, 16]
