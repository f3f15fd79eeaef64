from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixq_rl.errors import ArtifactError
from mixq_rl.quantization import BankAlignment, BankRequantization, FixedPoint, IntegerRange, ScaleBank
from mixq_rl.quantization.bank import WIDE_LIMIT
from mixq_rl.storage.artifacts import pack, unpack

UNIT = torch.tensor(2.0**-10, dtype=torch.float64)


def bank(offered: IntegerRange, *magnitudes: float) -> ScaleBank:
    """Scales that cover rows of such magnitudes, of which one unit is 2^-10."""
    share = 1 / offered.maximum
    return ScaleBank.from_scales(torch.tensor(magnitudes, dtype=torch.float64) * share, share, UNIT, offered)


def test_rows_take_the_nearest_scale() -> None:
    made = bank(IntegerRange(8, True), 1.0, 2.0, 8.0)
    rows = torch.tensor([[0.0], [1.0], [-1.4], [1.6], [4.9], [-5.1], [3000.0]])
    assert made.choose((rows / UNIT).round().to(torch.int64)).tolist() == [0, 0, 0, 1, 1, 2, 2]


@settings(deadline=None)
@given(
    st.integers(1, 8),
    st.booleans(),
    st.lists(st.floats(0.01, 500), min_size=1, max_size=6),
    st.lists(st.lists(st.integers(-(2**24), 2**24), min_size=3, max_size=3), min_size=1, max_size=5),
)
def test_equals_exact_rational_arithmetic(
    bits: int, signed: bool, magnitudes: list[float], rows: list[list[int]]
) -> None:
    offered = IntegerRange(bits, signed)
    made = bank(offered, *sorted(magnitudes))
    integers, row = made(torch.tensor(rows))
    assert integers.dtype == offered.dtype
    for wide, got, scale in zip(rows, integers.tolist(), row.mantissa.flatten().tolist(), strict=True):
        clamped = [max(-WIDE_LIMIT if signed else 0, min(WIDE_LIMIT, value)) for value in wide]
        greatest = max(abs(value) for value in clamped)
        index = sum(greatest > threshold for threshold in made.thresholds.tolist())
        assert scale == int(made.scales.mantissa[index])
        for value, q in zip(clamped, got, strict=True):
            exact = round(Fraction(value * int(made.reciprocals[index]), 2**made.shift))
            sign = 1 if value >= 0 else -1
            assert q == (sign if offered.is_sign else max(offered.minimum, min(offered.maximum, exact)))


def test_rows_of_very_different_magnitude_are_all_represented() -> None:
    offered = IntegerRange(8, True)
    made = bank(offered, 0.1, 1.0, 10.0, 100.0)
    x = torch.randn(40, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x / x.abs().amax(dim=1, keepdim=True) * torch.tensor([0.1, 1.0, 10.0, 100.0]).repeat(10).unsqueeze(1)
    integers, row = made((x / UNIT).round().to(torch.int64))
    error = (integers * row.to_real() - x).abs().amax(dim=1) / x.abs().amax(dim=1)
    assert float(error.max()) < 0.01


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("thresholds", torch.tensor([5, 4])),
        ("thresholds", torch.tensor([4])),
        ("thresholds", torch.tensor([4, WIDE_LIMIT + 1])),
        ("thresholds", torch.tensor([1.0, 2.0])),
        ("reciprocals", torch.tensor([1, 2, 2**30])),
        ("reciprocals", torch.tensor([0, 1, 1])),
        ("reciprocals", torch.tensor(3)),
        ("shift", 0),
        ("shift", 41),
        ("scales", FixedPoint(torch.tensor([1, 2, -3], dtype=torch.int32), 20)),
        ("scales", FixedPoint(torch.tensor([1, 2, 3], dtype=torch.int32), -2000)),
        ("scales", FixedPoint(torch.tensor([1, 2, 3]), 20)),
    ],
)
def test_damaged_banks_are_refused(field: str, value: object) -> None:
    made = bank(IntegerRange(8, True), 1.0, 2.0, 8.0)
    with pytest.raises((ValueError, TypeError), match="bank"):
        replace(made, **{field: value})
    tensors: dict[str, torch.Tensor] = {}
    data = pack(made, "bank", tensors)
    again = unpack(data, ScaleBank, "bank", tensors)
    assert torch.equal(again.thresholds, made.thresholds)
    if isinstance(value, torch.Tensor):
        with pytest.raises(ArtifactError, match="bank"):
            unpack(data, ScaleBank, "bank", {**tensors, f"bank.{field}": value})


def test_wide_requantization_keeps_its_bounds() -> None:
    made = bank(IntegerRange(8, True), 1.0)
    with pytest.raises(ValueError, match=r"shift 27 is outside 1\.\.\.26"):
        BankRequantization(torch.tensor(1), 27, 0, None, made)


def test_quantized_sums_have_a_scale_for_each_row() -> None:
    made = bank(IntegerRange(8, True), 1.0, 2.0, 8.0)
    sums = torch.tensor([[900, -4], [3000, 40]], dtype=torch.int32)
    requantization = BankRequantization(torch.tensor(2), 1, 0, None, made)
    alignment = BankAlignment((torch.tensor(1), torch.tensor(1)), 1, None, made)
    one = torch.ones((), dtype=torch.float64)
    for result in (requantization.quantized(sums, one), alignment.quantized([sums, sums], one)):
        integers, row = made(sums.to(torch.int64))
        assert torch.equal(result.values, integers)
        assert result.row is not None
        assert torch.equal(result.row.mantissa, row.mantissa)
    assert requantization.has_row
    assert requantization.uniform is None
    assert alignment.has_row
    assert alignment.uniform is None
