import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixq_rl.errors import InputError
from mixq_rl.quantization import Granularity, IntegerRange, MeanSquaredError, MinMax, MovingAverage, Percentile
from mixq_rl.quantization.observers import Observer, RangeObserver, fit

OBSERVERS: tuple[Observer, ...] = (MeanSquaredError(), MinMax(), MovingAverage(), Percentile(0.9))


def ends(observer: RangeObserver, *batches: list[float]) -> list[float]:
    known, *rest = (observer.observe(torch.tensor(batch, dtype=torch.float32), by_column=False) for batch in batches)
    for seen in rest:
        known = observer.follow(known, seen)
    return [float(known.low), float(known.high)]


def test_min_max_keeps_the_outermost_values_ever_seen() -> None:
    assert ends(MinMax(), [-1, 2], [-3, 1], [0.5, 4]) == [-3, 4]


def test_moving_average_comes_closer_by_its_momentum() -> None:
    assert ends(MovingAverage(0.25), [-4, 4], [-8, 0]) == [-5, 3]


def test_percentile_leaves_out_the_outermost_values_and_zeros() -> None:
    values = [float(value) for value in range(-50, 51)] + [0.0] * 1000
    assert ends(Percentile(0.9, 0.5), values) == [-41, 41]
    assert ends(Percentile(0.9, 0.5), values, [0.0, 0.0]) == [-20.5, 20.5]


def test_the_range_of_columns_is_one_each() -> None:
    x = torch.tensor([[1.0, -2.0], [3.0, -4.0], [2.0, 0.0]])
    for observer in (MinMax(), Percentile(1.0)):
        seen = observer.observe(x, by_column=True)
        assert seen.low.tolist() == [0, -4]
        assert seen.high.tolist() == [3, 0]


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(OBSERVERS),
    st.integers(1, 8),
    st.booleans(),
    st.booleans(),
    st.sampled_from(Granularity),
    st.integers(0, 100),
)
def test_every_observer_fits_at_every_granularity_and_none_better_than_least_squares(
    observer: Observer, bits: int, signed: bool, affine: bool, granularity: Granularity, seed: int
) -> None:
    affine = affine and granularity is Granularity.TENSOR
    x = torch.randn(30, 5, generator=torch.Generator().manual_seed(seed))
    offered = IntegerRange(bits, signed)
    quantizer, error = fit(observer, x, offered, affine=affine, granularity=granularity)
    assert quantizer.scale.shape == ((5,) if granularity is Granularity.COLUMN else ())
    assert bool((quantizer.scale > 0).all())
    _, least = fit(MeanSquaredError(), x, offered, affine=affine, granularity=granularity)
    # The search runs over fractions in steps of 1/40; a percentile may fall between two.
    assert error >= 0.9 * least


@pytest.mark.parametrize("observer", OBSERVERS)
@pytest.mark.parametrize("granularity", list(Granularity))
@pytest.mark.parametrize("x", [torch.zeros(3, 4), torch.zeros(0, 4)])
def test_no_values_still_give_a_positive_scale(observer: Observer, granularity: Granularity, x: torch.Tensor) -> None:
    quantizer, error = fit(observer, x, IntegerRange(4, True), affine=False, granularity=granularity)
    assert bool((quantizer.scale > 0).all())
    assert error == 0


def test_a_covered_range_is_not_clamped() -> None:
    x = torch.linspace(-1, 7, 100)
    quantizer, _ = fit(MinMax(), x, IntegerRange(4, True), affine=True, granularity=Granularity.TENSOR)
    error = (quantizer.quantize(x.view(10, 10)).dequantize().flatten() - x).abs().max()
    assert float(error) <= float(quantizer.scale) * 0.51


@pytest.mark.parametrize("momentum", [0.0, -1.0, 1.5, float("nan")])
def test_momentum_out_of_bounds_is_refused(momentum: float) -> None:
    with pytest.raises(InputError, match=r"momentum .* is outside 0 < momentum <= 1"):
        MovingAverage(momentum)
    with pytest.raises(InputError, match=r"momentum .* is outside 0 < momentum <= 1"):
        Percentile(0.999, momentum)


@pytest.mark.parametrize("fraction", [0.5, 0.001, 1.1])
def test_percentile_out_of_bounds_is_refused(fraction: float) -> None:
    with pytest.raises(InputError, match=r"percentile fraction .* is outside 0.5 < fraction <= 1"):
        Percentile(fraction)
