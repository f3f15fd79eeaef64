from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixq_rl.errors import ArtifactError, ScaleError
from mixq_rl.quantization import Alignment, IntegerRange, fake_round, fake_sum
from mixq_rl.storage.artifacts import pack, unpack

COLUMNS = 3
signed_scales = st.floats(1e-7, 10).flatmap(lambda scale: st.sampled_from([scale, -scale]))


def float64(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor | None, Alignment]:
    """Centred integers and scales of some sources, a bias, and their alignment."""
    offered = IntegerRange(draw(st.integers(1, 8)), draw(st.booleans()))
    count = draw(st.integers(1, 4))
    scales = []
    for _ in range(count):
        drawn = draw(st.lists(signed_scales, min_size=COLUMNS, max_size=COLUMNS))
        scales.append(float64(*drawn) if draw(st.booleans()) else float64(drawn[0])[0])
    bias = draw(st.none() | st.lists(st.floats(-300, 300), min_size=COLUMNS, max_size=COLUMNS))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    values = [torch.randint(-511, 512, (4, COLUMNS), generator=generator, dtype=torch.int16) for _ in range(count)]
    zero_point = 0 if offered.is_sign else draw(st.integers(-128, 255))
    fixed_bias = None if bias is None else float64(*bias)
    return values, scales, fixed_bias, Alignment.from_scales(scales, fixed_bias, offered, zero_point)


@settings(deadline=None)
@given(problems())
def test_equals_exact_rational_arithmetic(
    problem: tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor | None, Alignment],
) -> None:
    values, _, _, alignment = problem
    got, offered = alignment(values), alignment.range
    assert got.dtype == offered.dtype
    for row in range(4):
        for column in range(COLUMNS):
            total = 0 if alignment.bias is None else int(alignment.bias[column])
            for part, multiplier in zip(values, alignment.multipliers, strict=True):
                total += int(part[row, column]) * int(multiplier.expand(COLUMNS)[column])
            exact = Fraction(total, 2**alignment.shift)
            if offered.is_sign:
                assert int(got[row, column]) == (1 if exact >= 0 else -1)
            else:
                rounded = round(exact) + alignment.zero_point
                assert int(got[row, column]) == max(offered.minimum, min(offered.maximum, rounded))


@settings(deadline=None)
@given(problems())
def test_float64_agrees_with_integer_alignment(
    problem: tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor | None, Alignment],
) -> None:
    values, scales, bias, alignment = problem
    steps = fake_sum([part.double() for part in values], scales, bias, alignment)
    fake = fake_round(steps, alignment.range, alignment.zero_point)
    assert torch.equal(fake, alignment(values).double() - alignment.zero_point)


@given(st.lists(signed_scales, min_size=1, max_size=4))
def test_multipliers_are_close_to_the_real_scales(scales: list[float]) -> None:
    alignment = Alignment.from_scales([float64(scale)[0] for scale in scales], None, IntegerRange(8, True), 0)
    greatest = max(map(abs, scales))
    for scale, multiplier in zip(scales, alignment.multipliers, strict=True):
        # Small ones beside a great one keep as many bits behind the point as that leaves.
        assert int(multiplier) * 2.0**-alignment.shift == pytest.approx(scale, abs=2e-9 * greatest + 1e-12)


def test_ties_go_to_the_even_integer() -> None:
    alignment = Alignment((torch.tensor(1),), 1, None, IntegerRange(8, True), 0)
    halves = torch.tensor([[-5, -3, -1, 1, 3, 5]], dtype=torch.int16)
    assert alignment([halves]).tolist() == [[-2, -2, 0, 0, 2, 2]]


def test_a_sum_is_rounded_once() -> None:
    half = torch.tensor(1)
    alignment = Alignment((half, half, half, half), 2, None, IntegerRange(8, True), 0)
    ones = torch.ones(1, 1, dtype=torch.int16)
    assert alignment([ones] * 4).tolist() == [[1]]


def test_gradients_go_to_values_scales_and_bias() -> None:
    values = [torch.tensor([[2.0, -3.0, 1.0]], requires_grad=True), torch.tensor([[1.0, 1.0, 4.0]], requires_grad=True)]
    scales = [float64(0.5)[0].requires_grad_(), float64(-0.25, 0.5, 0.1).requires_grad_()]
    bias = float64(1.0, 2.0, 3.0).requires_grad_()
    alignment = Alignment.from_scales([scale.detach() for scale in scales], bias.detach(), IntegerRange(8, True), 0)
    fake_sum(values, scales, bias, alignment).sum().backward()
    assert values[0].grad is not None
    assert values[0].grad.tolist() == [[0.5, 0.5, 0.5]]
    torch.testing.assert_close(values[1].grad, torch.tensor([[-0.25, 0.5, 0.1]]))
    torch.testing.assert_close(scales[0].grad, float64(2.0 - 3.0 + 1.0)[0])
    torch.testing.assert_close(scales[1].grad, float64(1, 1, 4))
    torch.testing.assert_close(bias.grad, float64(1, 1, 1))


def test_scales_beyond_fixed_point_are_refused() -> None:
    with pytest.raises(ScaleError, match="too large for fixed point"):
        Alignment.from_scales([float64(1e12)[0]], None, IntegerRange(8, True), 0)
    with pytest.raises(ScaleError, match=r"bias of 1e\+09 steps is too large"):
        Alignment.from_scales([float64(1)[0]], float64(1e9), IntegerRange(8, True), 0)
    with pytest.raises(ScaleError, match="bias of nan steps"):
        Alignment.from_scales([float64(1)[0]], float64(float("nan")), IntegerRange(8, True), 0)


def test_scales_of_zero_are_multipliers_of_zero() -> None:
    alignment = Alignment.from_scales([float64(0)[0]], float64(2.0), IntegerRange(8, True), 1)
    assert alignment([torch.full((1, 1), 99, dtype=torch.int16)]).tolist() == [[3]]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("multipliers", (), "one for each source"),
        ("multipliers", (torch.tensor(2**31),), r"below 2\^31"),
        ("multipliers", (torch.tensor(-(2**31)),), r"below 2\^31"),
        ("multipliers", (torch.tensor(1.0),), "are int64"),
        ("multipliers", (torch.ones(2, 2, dtype=torch.int64),), "one or one a column"),
        ("shift", 0, r"shift 0 is outside 1\.\.\.40"),
        ("shift", 41, r"shift 41 is outside"),
        ("bias", torch.tensor([2**62]), "beyond 4096 steps"),
        ("bias", torch.tensor([1], dtype=torch.int32), "are int64"),
        ("zero_point", 257, "zero point 257 is outside"),
    ],
)
def test_entries_out_of_bounds_are_refused(field: str, value: object, message: str) -> None:
    alignment = Alignment((torch.tensor(5),), 3, torch.tensor([7]), IntegerRange(4, True), 0)
    with pytest.raises((TypeError, ValueError), match=message):
        replace(alignment, **{field: value})
    tensors: dict[str, torch.Tensor] = {}
    data = pack(alignment, "alignment", tensors)
    assert unpack(data, Alignment, "alignment", tensors).shift == 3
    if isinstance(value, int):
        with pytest.raises(ArtifactError, match=message):
            unpack({**data, field: value}, Alignment, "alignment", tensors)


def test_quantized_sums_are_packed_and_share_one_scale() -> None:
    alignment = Alignment.from_scales([float64(0.5)[0], float64(0.25)[0]], None, IntegerRange(4, True), -2)
    values = [torch.tensor([[1, -3]], dtype=torch.int16), torch.tensor([[4, 2]], dtype=torch.int16)]
    made = alignment.quantized(values, float64(2.0)[0])
    assert torch.equal(made.values, alignment(values))
    assert (made.range, made.zero_point, made.row) == (alignment.range, -2, None)
    assert alignment.uniform is alignment
    assert not alignment.has_row
