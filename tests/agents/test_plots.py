import io
from dataclasses import replace

from mixq_rl.agents.plots import pareto_figure
from mixq_rl.evaluation import Evaluation

FLOAT = Evaluation((32,), 0.8, 1600.0, 1.0, 1600.0, 1.0)


def test_draws_what_it_is_given_whatever_the_title() -> None:
    points = [replace(FLOAT, allocation=(bits,), reduction=32 / bits, accuracy=0.1 * bits) for bits in (2, 4, 8)]
    figure = pareto_figure(points, FLOAT, uniform=[("uniform 8", points[2])], tuned=points[:2], title="a$_$ [b] \\x")
    figure.savefig(io.BytesIO(), format="png")
    (axes,) = figure.axes
    assert axes.get_title() == "a$_$ [b] \\x"
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["evaluated (3)", "front, supernet weights", "front, fine-tuned", "uniform, fine-tuned", "float32"]
