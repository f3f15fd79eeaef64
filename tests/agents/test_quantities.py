import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.agents.quantities import (
    area,
    bit_operations,
    bits,
    memory,
    milliseconds,
    percent,
    power_of_ten,
    shape,
    tick,
    times,
)

SPACE = "\N{NO-BREAK SPACE}"
PREFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}


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
        (5 * 10**18, "5000 PB"),
    ],
)
def test_memory_has_three_digits(count: int, text: str) -> None:
    assert memory(count) == text.replace(" ", SPACE)


@given(st.integers(0, 10**18))
def test_memory_is_within_half_a_percent(count: int) -> None:
    value, unit = memory(count).split(SPACE)
    assert float(value) * PREFIXES[unit.removesuffix("B")] == pytest.approx(count, rel=0.0051, abs=0.5)
    assert float(value) < 1000 or unit == "PB"


@pytest.mark.parametrize(
    ("count", "text", "on_an_axis"),
    [
        (0, "0.00", "0"),
        (0.5, "0.50", "0.5"),
        (100, "100", "100"),
        (2e5, "200 k", "200 k"),
        (1.6e9, "1.60 G", "1.6 G"),
        (1e12, "1.00 T", "1 T"),
        (999_999, "1.00 M", "1 M"),
    ],
)
def test_bit_operations_have_a_prefix(count: float, text: str, on_an_axis: str) -> None:
    assert bit_operations(count) == text.replace(" ", SPACE)
    assert tick(count) == on_an_axis.replace(" ", SPACE)


@given(st.floats(1, 1e17))
def test_bit_operations_are_within_half_a_percent(count: float) -> None:
    for text in (bit_operations(count), tick(count)):
        value, _, prefix = text.partition(SPACE)
        assert float(value) * PREFIXES[prefix] == pytest.approx(count, rel=0.0051)


def test_shares_factors_times_and_shapes() -> None:
    assert percent(0.83649) == f"83.6{SPACE}%"
    assert percent(0.83649, sign=False) == "83.6"
    assert percent(0.83649, 2, sign=False) == "83.65"
    assert (times(11.96), times(11.96, 2)) == ("12.0×", "11.96×")
    assert (milliseconds(0.0013967), milliseconds(0.0013967, 1)) == ("1.397", "1.4")
    assert area(1.25) == "1.2500"
    assert shape((2708, 7)).split() == ["2708", "×", "7"]
    assert (bits((2, 4, 2)), bits((4, 4))) == ("2 4 2", "4")


@pytest.mark.parametrize(
    ("greatest", "unit", "text"),
    [(2e12, "10⁹", "2000.000"), (3e6, "10⁶", "3.000"), (1e3, "10³", "1.000"), (999, "", "999.000")],
)
def test_numbers_side_by_side_have_the_unit_of_the_largest(greatest: float, unit: str, text: str) -> None:
    chosen = power_of_ten([1, greatest])
    assert chosen.name == unit
    assert chosen.write(greatest) == text
