from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixq_rl.quantization import FixedPoint, IntegerRange, Requantization, rounding_shift


@given(st.integers(-(2**60), 2**60), st.integers(1, 40))
def test_rounding_shift_is_exact_half_to_even(value: int, shift: int) -> None:
    assert int(rounding_shift(torch.tensor(value), shift)) == round(Fraction(value, 2**shift))


@given(st.integers(-1000, 1000), st.integers(1, 40))
def test_rounding_shift_at_ties(quotient: int, shift: int) -> None:
    tie = quotient * 2**shift + 2 ** (shift - 1)
    assert int(rounding_shift(torch.tensor(tie), shift)) == (quotient if quotient % 2 == 0 else quotient + 1)


@settings(deadline=None)
@given(
    sums=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=20),
    scale=st.floats(1e-9, 10),
    bias=st.floats(-300, 300),
    row=st.one_of(st.none(), st.floats(1e-4, 1)),
    bits=st.integers(1, 8),
    signed=st.booleans(),
    zero_point=st.integers(-3, 3),
)
def test_equals_exact_rational_arithmetic(
    sums: list[int], scale: float, bias: float, row: float | None, bits: int, signed: bool, zero_point: int
) -> None:
    offered = IntegerRange(bits, signed)
    if offered.is_sign:
        zero_point = 0
    row_scale = None if row is None else FixedPoint.nearest(torch.full((len(sums), 1), row, dtype=torch.float64), 26)
    requantization = Requantization.from_scales(
        torch.tensor(scale, dtype=torch.float64),
        torch.tensor([bias], dtype=torch.float64),
        None if row_scale is None else row_scale.exponent,
        offered,
        zero_point,
    )
    got = requantization(torch.tensor(sums, dtype=torch.int32).unsqueeze(1), row_scale).flatten()
    assert got.dtype == offered.dtype
    multipliers = requantization.multipliers(row_scale).expand(len(sums), 1).flatten().tolist()
    assert requantization.bias is not None
    for total, multiplier, q in zip(sums, multipliers, got.tolist(), strict=True):
        exact = Fraction(total * multiplier + int(requantization.bias), 2**requantization.shift)
        if offered.is_sign:
            assert q == (1 if exact >= 0 else -1)
        else:
            assert q == max(offered.minimum, min(offered.maximum, round(exact) + zero_point))


@given(st.floats(1e-6, 1), st.one_of(st.none(), st.floats(1e-2, 1)))
def test_multiplier_is_close_to_the_real_scale(scale: float, row: float | None) -> None:
    row_scale = None if row is None else FixedPoint.nearest(torch.tensor([[row]], dtype=torch.float64), 26)
    requantization = Requantization.from_scales(
        torch.tensor(scale, dtype=torch.float64),
        None,
        None if row_scale is None else row_scale.exponent,
        IntegerRange(8, True),
        0,
    )
    real = scale * (row or 1)
    multiplier = float(requantization.multipliers(row_scale)) * 2.0**-requantization.shift
    assert multiplier == pytest.approx(real, rel=1e-4)


def test_scales_beyond_fixed_point_are_refused() -> None:
    with pytest.raises(ValueError, match="too large for fixed point"):
        Requantization.from_scales(torch.tensor(1e12, dtype=torch.float64), None, None, IntegerRange(8, True), 0)
    with pytest.raises(ValueError, match=r"bias of 1e\+09 steps is too large"):
        Requantization.from_scales(
            torch.tensor(1e-9, dtype=torch.float64), torch.tensor([1e9]), None, IntegerRange(8, True), 0
        )


def test_quantized_sums_are_packed_and_share_one_scale() -> None:
    requantization = Requantization(torch.tensor(3), 2, 0, None, IntegerRange(4, True), 1)
    sums, scale = torch.tensor([[-9, 4], [0, 2]], dtype=torch.int32), torch.tensor(0.5, dtype=torch.float64)
    made = requantization.quantized(sums, scale)
    assert torch.equal(made.values, requantization(sums))
    assert (made.range, made.zero_point, made.row) == (requantization.range, 1, None)
    assert requantization.uniform is requantization
    assert not requantization.has_row
