import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.quantization import FixedPoint


@given(st.floats(1e-12, 1e12))
def test_nearest_is_within_half_a_unit_of_the_last_place(x: float) -> None:
    exponent = FixedPoint.exponent_for(x)
    number = FixedPoint.nearest(torch.tensor([x], dtype=torch.float64), exponent)
    assert 2**29 <= int(number.mantissa) <= 2**30
    assert abs(float(number.to_real()) - x) <= 2.0**-exponent / 2


def test_a_number_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2e\+10 \(entry 1\) is beyond"):
        FixedPoint.nearest(torch.tensor([1.0, 2e10]), 0)
