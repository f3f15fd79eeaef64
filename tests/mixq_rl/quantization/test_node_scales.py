import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixq_rl.quantization import FixedPoint, LearnedQuantizer, Scheme
from mixq_rl.quantization.node_scales import NodeScales

ONE = torch.ones((), dtype=torch.float64)


def power_law(rows: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 6, generator=generator) * 10 ** (3 * torch.rand(rows, 1, generator=generator))


def quantizer(bits: int, *, signed: bool = True, scales: int = 16, x: torch.Tensor | None = None) -> LearnedQuantizer:
    made = LearnedQuantizer("conv1.aggregate", "aggregate", signed=signed, affine=signed)
    x = power_law(200) if x is None else x
    made.calibrate(x if signed else x.relu(), (bits,), Scheme(scales_per_component=scales), node_scales=True)
    made.bits = bits
    return made


def bank_of(made: LearnedQuantizer) -> NodeScales:
    assert isinstance(made.scales, NodeScales)
    return made.scales


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 8), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 1000))
def test_float64_agrees_with_integers_of_unseen_rows(
    bits: int, signed: bool, with_row: bool, with_bias: bool, seed: int
) -> None:
    made = quantizer(bits, signed=signed)
    with torch.no_grad():
        bank_of(made).log_scales[str(bits)].add_(torch.randn(16, generator=torch.Generator().manual_seed(seed)))
    sums = (power_law(30, seed) / 0.01).round()
    scale, bias = 0.01 * ONE, torch.randn(6, dtype=torch.float64) if with_bias else None
    row = FixedPoint.nearest(torch.rand(30, 1, dtype=torch.float64), 30) if with_row else None
    fake = made.fake_requantize(sums.double(), scale, bias, row)
    result = made.requantization(scale, bias, None if row is None else row.exponent)(sums.to(torch.int32), row)
    assert isinstance(result, tuple)
    assert torch.equal(fake.dense, result[0].double())
    assert fake.row is not None
    assert torch.equal(fake.row.mantissa, result[1].mantissa)
    values = [sums.clamp(-500, 500).double(), sums.flip(0).clamp(-500, 500).double()]
    fake = made.fake_align(values, [0.1 * ONE, 0.7 * ONE], bias)
    result = made.alignment([0.1 * ONE, 0.7 * ONE], bias)([value.to(torch.int16) for value in values])
    assert torch.equal(fake.dense, result[0].double())


def test_nodes_of_every_magnitude_keep_their_accuracy_where_one_scale_loses_the_small() -> None:
    x = power_law(200)
    sums = (x / 1e-3).round().double()
    single = LearnedQuantizer("conv1.aggregate", "aggregate", signed=True)
    single.calibrate(x, (4,))
    single.bits = 4
    errors = []
    for made in (quantizer(4), single):
        real = made.fake_requantize(sums, 1e-3 * ONE).to_real().detach()
        errors.append(float(((real - x).square().sum(dim=1) / x.square().sum(dim=1)).mean()))
    assert errors[0] < 0.05 < 0.5 < errors[1]


def test_gradient_reaches_the_scales_that_were_chosen() -> None:
    made = quantizer(4, scales=4, x=torch.tensor([[1.0], [10.0], [100.0], [1000.0]]))
    x = torch.tensor([[0.8, 0.33], [1100.0, 7.0]], dtype=torch.float64, requires_grad=True)
    made.fake_requantize(x / 1e-4, 1e-4 * ONE).to_real().sum().backward()
    gradient = bank_of(made).log_scales["4"].grad
    assert gradient is not None
    assert (gradient != 0).tolist() == [True, False, False, True]
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([[1.0, 1.0], [0.0, 1.0]]).double(), rtol=1e-3, atol=1e-3)


def test_scale_gradient_is_that_of_lsq() -> None:
    made = quantizer(4, scales=1, x=torch.tensor([[7.0, 3.3]]))
    scale = float(bank_of(made).log_scales["4"].detach().exp())
    x = torch.tensor([[2.3, -1.2]], dtype=torch.float64)
    made.fake_requantize(x / 1e-4, 1e-4 * ONE).to_real().sum().backward()
    gradient = bank_of(made).log_scales["4"].grad
    steps = x / scale
    torch.testing.assert_close(gradient, ((steps.round() - steps).sum() * scale).float().view(1), rtol=1e-3, atol=1e-4)


def test_protected_rows_stay_as_they_are() -> None:
    made = quantizer(2)
    x = power_law(10, seed=3).double()
    protected = (torch.arange(10) < 5).unsqueeze(1)
    result = made.fake_requantize((x / 1e-3).round(), 1e-3 * ONE, protected=protected)
    torch.testing.assert_close(result.to_real()[:5], x[:5], rtol=1e-2, atol=1e-3)
    assert torch.equal(result.dense[5:], result.dense[5:].round())


def test_learned_scales_need_not_stay_in_order_nor_near_each_other() -> None:
    made = quantizer(8, scales=5)
    with torch.no_grad():
        bank_of(made).log_scales["8"].copy_(torch.tensor([3.0, -40.0, 1.0, 2.0, 0.0]))
    bank = bank_of(made).bank(made.range)
    assert bank.thresholds.tolist() == sorted(bank.thresholds.tolist())
    assert bool((bank.scales.mantissa > 0).all())


def test_rows_of_zeros_take_the_least_scale() -> None:
    made = quantizer(4, x=torch.cat([torch.zeros(50, 6), power_law(50)]))
    result = made.fake_requantize(torch.zeros(3, 6).double(), ONE)
    assert result.to_real().abs().max() == 0
    made = quantizer(4, x=torch.zeros(5, 6))
    assert made.fake_requantize(torch.zeros(3, 6).double(), ONE).to_real().abs().max() == 0
