import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mixq_rl.agents.report.scales import LinearScale, LogScale, Scale

lows = st.floats(0.001, 1000)
spans = st.floats(1.01, 300)


@given(lows, spans)
def test_ends_are_placed_at_the_ends_and_ticks_between_them(low: float, span: float) -> None:
    scales: list[Scale] = [LinearScale(low, low * span), LogScale(low, low * span)]
    for scale in scales:
        assert scale.place(low) == pytest.approx(0, abs=1e-9)
        assert scale.place(low * span) == pytest.approx(1)
        ticks = scale.ticks()
        assert 2 <= len(ticks) <= 8
        assert ticks == sorted(set(ticks))
        places = [scale.place(tick) for tick in ticks]
        assert all(-1e-6 <= place <= 1 + 1e-6 for place in places)


def test_ticks_are_round() -> None:
    assert LinearScale(0.705, 0.8405).ticks() == pytest.approx([0.72, 0.74, 0.76, 0.78, 0.8, 0.82, 0.84])
    assert LinearScale(0, 1).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert LogScale(3.7, 17).ticks() == [4, 8, 16]
    assert LogScale(1, 4000).ticks() == [1, 4, 16, 64, 256, 1024]
    assert LogScale(3.8, 8.4).ticks() == [4, 5, 6, 7, 8]
    assert LogScale(0.97, 1.06).ticks() == pytest.approx([0.98, 1, 1.02, 1.04, 1.06])


@given(lows, spans, st.floats(0, 0.3))
def test_equal_ratios_are_equally_long(low: float, span: float, ratio: float) -> None:
    scale = LogScale(low, low * span)
    middle = low * span**0.5
    assert scale.place(middle) == pytest.approx(0.5)
    assert scale.place(low * span**ratio) == pytest.approx(ratio, abs=1e-9)


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=6), st.floats(0.01, 0.2), st.floats(0.01, 2))
def test_an_axis_around_values_has_them_inside(values: list[float], margin: float, least: float) -> None:
    scales: list[Scale] = [LinearScale.around(values, margin, least), LogScale.around(values, margin, least)]
    for scale in scales:
        places = [scale.place(value) for value in values]
        assert all(0 < place < 1 for place in places)
        assert min(places) == pytest.approx(1 - max(places), abs=1e-6)


@given(st.floats(1, 100), st.floats(1.5, 100))
def test_a_margin_is_a_part_of_the_range(low: float, span: float) -> None:
    assume(low * (span - 1) > 0.1)
    scale = LinearScale.around([low, low * span], 0.1, 0.01)
    assert scale.place(low) == pytest.approx(0.1 / 1.2)
