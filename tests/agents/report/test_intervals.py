import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.agents.report.intervals import wilson_interval


# R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_known_intervals(right: int, count: int, low: float, high: float) -> None:
    assert wilson_interval(right / count, count) == pytest.approx((low, high), abs=5e-5)


counts = st.integers(1, 10**6)


@given(st.data(), counts)
def test_bounds_are_where_the_score_test_is_at_its_limit(data: st.DataObject, count: int) -> None:
    right = data.draw(st.integers(0, count))
    accuracy = right / count
    low, high = wilson_interval(accuracy, count)
    assert 0 <= low <= accuracy <= high <= 1
    for bound in (low, high):
        if 0 < bound < 1:
            z = (accuracy - bound) / math.sqrt(bound * (1 - bound) / count)
            assert abs(z) == pytest.approx(1.959964, rel=1e-4)


@given(st.data(), counts)
def test_what_is_wrong_mirrors_what_is_right(data: st.DataObject, count: int) -> None:
    accuracy = data.draw(st.integers(0, count)) / count
    low, high = wilson_interval(accuracy, count)
    assert wilson_interval(1 - accuracy, count) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(st.data(), counts)
def test_it_is_the_closed_form_of_wilson(data: st.DataObject, count: int) -> None:
    accuracy, z = data.draw(st.integers(0, count)) / count, NormalDist().inv_cdf(0.975)
    spread = z * z / count
    centre = (accuracy + spread / 2) / (1 + spread)
    half = math.sqrt(accuracy * (1 - accuracy) * spread + spread * spread / 4) / (1 + spread)
    assert wilson_interval(accuracy, count) == pytest.approx((centre - half, centre + half), abs=1e-12)


@given(st.data(), st.integers(2, 10**5))
def test_more_items_make_it_narrower(data: st.DataObject, count: int) -> None:
    accuracy = data.draw(st.integers(1, count - 1)) / count
    low, high = wilson_interval(accuracy, count)
    lower, higher = wilson_interval(accuracy, 4 * count)
    assert low < lower < higher < high


def test_of_no_items_nothing_is_known() -> None:
    assert wilson_interval(0.5, 0) == (0, 1)
