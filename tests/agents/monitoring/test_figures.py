import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from mixq_rl.agents.monitoring.figures import accuracy_figure, bits_figure, cost_figure
from mixq_rl.agents.records.result import ComponentShare
from mixq_rl.evaluation.protocol import Evaluation

FLOAT = Evaluation((32, 32), 0.8, 1600.0, 1.0, 1600.0, 1.0)
NAMES = ("conv1.weight", "conv1.a$_$b")


def drawn(figure: Figure) -> Figure:
    figure.savefig(io.BytesIO(), format="png")
    return figure


def evaluations(count: int) -> list[Evaluation]:
    random = np.random.default_rng(0)
    return [
        replace(FLOAT, allocation=tuple(random.choice([2, 4, 8], size=2).tolist()), bitops=100.0 + index, accuracy=0.7)
        for index in range(count)
    ]


@pytest.mark.parametrize("count", [1, 64, 65, 1000])
def test_bits_are_means_over_equal_stretches_of_the_search(count: int) -> None:
    made = evaluations(count)
    figure = drawn(bits_figure(made, NAMES, (2, 4, 8), title="x $y"))
    axes, bar = figure.axes
    values = np.asarray(axes.collections[0].get_array()).reshape(2, -1)
    assert values.shape[1] <= 64
    width = -(-count // values.shape[1])
    expected = [
        np.mean([e.allocation for e in made[first : first + width]], axis=0) for first in range(0, count, width)
    ]
    np.testing.assert_allclose(values.T, expected)
    assert [text.get_text() for text in axes.get_yticklabels()] == list(NAMES)
    assert bar.get_ylabel() == "mean bit-width (bits)"
    assert [text.get_text() for text in bar.get_yticklabels()] == ["2", "4", "8"]


def test_bits_of_a_single_bit_width_are_drawn() -> None:
    made = [replace(FLOAT, allocation=(4, 4))]
    _, bar = drawn(bits_figure(made, NAMES, (4,))).axes
    assert [text.get_text() for text in bar.get_yticklabels()] == ["4"]


def test_accuracy_is_drawn_against_bit_operations() -> None:
    uniform = replace(FLOAT, allocation=(4, 4), bitops=200.0, accuracy=0.75)
    made = [*(e for e in evaluations(9) if len(set(e.allocation)) > 1), uniform]
    figure = drawn(accuracy_figure(made, FLOAT))
    axes, bar = figure.axes
    points, float32 = (np.asarray(collection.get_offsets()) for collection in axes.collections)
    (squares,) = [line.get_xydata() for line in axes.lines if line.get_label() == "one bit-width everywhere"]
    assert points.tolist() == [[e.bitops, pytest.approx(100 * e.accuracy)] for e in made]
    assert squares.tolist() == [[200.0, 75.0]]
    assert float32.tolist() == [[1600.0, 80.0]]
    assert [text.get_text() for text in axes.texts] == ["4 bits"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [f"evaluated in the search ({len(made)})", "one bit-width everywhere", "float32"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("bit operations (linear convention)", "validation accuracy (%)")
    assert bar.get_ylabel() == "distinct evaluation"


def test_costs_are_drawn_by_component() -> None:
    shares = [
        ComponentShare("conv1.weight", "weight", 0, (4, 4), 2, 3e6, 6e6, 0.0, 4),
        ComponentShare("conv1.message", "message", 0, (4, 4), 8, 5e6, 6e6, 0.002, 16),
    ]
    left, right = drawn(cost_figure(shares, title="agent 1")).axes
    assert [bar.get_width() for bar in left.patches] == [0, 2]
    assert [bar.get_width() for bar in right.patches] == [3e6, 5e6]
    assert [text.get_text() for text in left.get_yticklabels()] == ["conv1.weight: 2", "conv1.message: 8"]
    assert left.get_xlabel() == "kernel time (ms)"
