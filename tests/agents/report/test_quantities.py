import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.agents.report.quantities import memory, milliseconds, percent, power_of_ten, shape, times

UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (12_340, "12.3 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (1_562_204, "1.56 MB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_memory_has_three_digits(count: int, text: str) -> None:
    assert memory(count) == text.replace(" ", "\N{NO-BREAK SPACE}")


@given(st.integers(0, 10**15))
def test_memory_is_within_half_a_percent(count: int) -> None:
    value, unit = memory(count).split("\N{NO-BREAK SPACE}")
    assert float(value) * UNITS[unit] == pytest.approx(count, rel=0.0051, abs=0.5)
    assert float(value) < 1000 or unit == "TB"


def test_shares_factors_times_and_shapes() -> None:
    assert percent(0.83649) == "83.6\N{NO-BREAK SPACE}%"
    assert percent(0.83649, sign=False) == "83.6"
    assert times(11.96) == "12.0×"
    assert milliseconds(0.0013967) == "1.397"
    assert shape((2708, 7)).split() == ["2708", "×", "7"]


@pytest.mark.parametrize(
    ("greatest", "unit"), [(2e12, (1e9, "10⁹")), (3e6, (1e6, "10⁶")), (1e3, (1e3, "10³")), (999, (1, ""))]
)
def test_numbers_side_by_side_have_the_unit_of_the_greatest(greatest: float, unit: tuple[float, str]) -> None:
    assert power_of_ten([1, greatest]) == unit
