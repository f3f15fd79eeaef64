import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixq_rl.quantization import (
    FixedPoint,
    IntegerRange,
    Requantization,
    fake_map,
    fake_round,
    straight_clamp,
    straight_round,
)
from mixq_rl.quantization.fake import straight_round_within


def test_gradient_passes_inside_the_range_and_stops_outside() -> None:
    steps = torch.tensor([-9.0, -1.2, 0.4, 1.9, 9.0], requires_grad=True)
    values = fake_round(steps, IntegerRange(3, True), 0)
    values.sum().backward()
    assert values.tolist() == [-4, -1, 0, 2, 3]
    assert steps.grad is not None
    assert steps.grad.tolist() == [0, 1, 1, 1, 0]


@pytest.mark.parametrize(("signed", "zero_point"), [(True, 0), (True, -1), (False, 0), (False, 3)])
def test_gradient_passes_at_the_ends_of_the_range(signed: bool, zero_point: int) -> None:
    """At 2 bits half of all integers are an end: without a gradient there such networks do not learn."""
    offered = IntegerRange(2, signed)
    steps = torch.arange(offered.minimum - 1.0, offered.maximum + 2.0) - zero_point
    steps.requires_grad_()
    fake_round(steps, offered, zero_point).sum().backward()
    assert steps.grad is not None
    assert steps.grad.tolist() == [0, 1, 1, 1, 1, 0]


@given(
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20),
    st.integers(-(2**15), 0),
    st.integers(0, 2**15),
)
def test_rounding_within_a_range_is_rounding_and_clamping(numbers: list[float], low: int, high: int) -> None:
    whole, parts = (torch.tensor(numbers, requires_grad=True) for _ in range(2))
    together, apart = straight_round_within(whole, low, high), straight_clamp(straight_round(parts), low, high)
    assert torch.equal(together, apart)
    together.sum().backward()
    apart.sum().backward()
    assert whole.grad is not None
    assert parts.grad is not None
    assert torch.equal(whole.grad, parts.grad)


def test_gradient_of_protected_rows_passes_at_zero() -> None:
    steps = torch.tensor([[-1.0, 0.0, 9.0]], requires_grad=True)
    fake_round(steps, IntegerRange(2, False), 0, torch.tensor([[True]])).sum().backward()
    assert steps.grad is not None
    assert steps.grad.tolist() == [[0, 1, 1]]


def test_gradient_of_a_sign_passes_near_zero() -> None:
    steps = torch.tensor([-3.0, -0.5, 0.5, 3.0], requires_grad=True)
    fake_round(steps, IntegerRange(1, True), 0).sum().backward()
    assert steps.grad is not None
    assert steps.grad.tolist() == [0, 1, 1, 0]


def test_scale_gradient_is_that_of_lsq() -> None:
    # d/ds of s * clamp(round(x/s)): round(x/s) - x/s inside the range, the bound outside (Esser et al., 2020).
    scale = torch.tensor(0.5, requires_grad=True)
    x = torch.tensor([0.6, -0.3, 5.0])
    (scale * fake_round(x / scale, IntegerRange(3, True), 0)).sum().backward()
    assert scale.grad is not None
    torch.testing.assert_close(scale.grad, torch.tensor((1 - 1.2) + (-1 + 0.6) + 3))


@settings(deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(1, 8),
    st.booleans(),
    st.booleans(),
    st.floats(1e-6, 0.5),
    st.integers(-2, 2),
)
def test_float64_agrees_with_integer_requantization(
    seed: int, bits: int, signed: bool, with_row: bool, scale: float, zero_point: int
) -> None:
    offered = IntegerRange(bits, signed)
    if offered.is_sign:
        zero_point = 0
    generator = torch.Generator().manual_seed(seed)
    sums = torch.randint(-(2**22), 2**22, (7, 5), generator=generator, dtype=torch.int32)
    column = torch.full((5,), scale, dtype=torch.float64) * (0.1 + torch.rand(5, generator=generator))
    bias = 20 * torch.randn(5, generator=generator, dtype=torch.float64)
    row = FixedPoint.nearest(torch.rand(7, 1, generator=generator, dtype=torch.float64), 26) if with_row else None
    requantization = Requantization.from_scales(column, bias, 26 if with_row else None, offered, zero_point)
    integers = requantization(sums, row).double() - zero_point
    fake = fake_round(fake_map(sums.double(), column, bias, row, requantization), offered, zero_point)
    assert torch.equal(integers, fake)


def test_protected_rows_are_neither_rounded_nor_clamped() -> None:
    steps = torch.tensor([[-9.0, 0.4], [-9.0, 0.4]], requires_grad=True)
    protected = torch.tensor([[True], [False]])
    assert fake_round(steps, IntegerRange(3, True), 0, protected).tolist() == [[-9, pytest.approx(0.4)], [-4, 0]]
    # The lower end of unsigned integers is ReLU, which protection leaves in force.
    values = fake_round(steps, IntegerRange(3, False), 0, protected)
    assert values.tolist() == [[0, pytest.approx(0.4)], [0, 0]]
    values.sum().backward()
    assert steps.grad is not None
    assert steps.grad.tolist() == [[0, 1], [0, 1]]
