import math

import pytest
import torch

from mixq_rl.nn import STATISTICS
from mixq_rl.nn.component import MAX_SQNR, measure_statistics
from mixq_rl.quantization import Granularity, LearnedQuantizer


def test_statistics_of_known_values() -> None:
    x = torch.tensor([[0.0, 1.0], [0.0, 3.0]])
    statistics = measure_statistics(x, LearnedQuantizer("w", "weight", signed=True))
    assert set(statistics) == set(STATISTICS)
    assert statistics["mean"] == 1.0
    assert statistics["standard_deviation"] == pytest.approx(math.sqrt(1.5))
    assert (statistics["minimum"], statistics["maximum"], statistics["sparsity"]) == (0.0, 3.0, 0.5)
    assert statistics["kurtosis"] == pytest.approx(((1 + 1 + 0 + 16) / 4) / 1.5**2)


def test_normal_values_gain_about_six_decibels_a_bit() -> None:
    x = torch.randn(5000, 4, generator=torch.Generator().manual_seed(0))
    statistics = measure_statistics(x, LearnedQuantizer("w", "weight", signed=True))
    assert statistics["kurtosis"] == pytest.approx(3, abs=0.1)
    assert statistics["sqnr_1"] == pytest.approx(4.4, abs=0.1)  # of a sign, for a normal distribution
    assert 4 < (statistics["sqnr_8"] - statistics["sqnr_4"]) / 4 < 6.1


def test_exact_representations_have_the_greatest_ratio() -> None:
    x = torch.tensor([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
    quantizer = LearnedQuantizer("x", "input", signed=None, granularity=Granularity.ROW)
    assert measure_statistics(x, quantizer)["sqnr_1"] == MAX_SQNR


@pytest.mark.parametrize("x", [torch.zeros(0, 3), torch.zeros(4, 3), torch.full((4, 3), 7.0)])
def test_degenerate_values_give_finite_statistics(x: torch.Tensor) -> None:
    statistics = measure_statistics(x, LearnedQuantizer("w", "weight", signed=True))
    assert all(math.isfinite(value) for value in statistics.values())
    assert statistics["kurtosis"] == 0
