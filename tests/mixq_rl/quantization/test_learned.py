import pytest
import torch

from mixq_rl.errors import BitWidthError
from mixq_rl.quantization import Granularity, LearnedQuantizer
from mixq_rl.sparse import SparseMatrix


def test_scale_stays_positive_whatever_the_gradient() -> None:
    quantizer = LearnedQuantizer("conv1.weight", "weight", signed=True, granularity=Granularity.COLUMN)
    quantizer.calibrate(torch.randn(10, 3, generator=torch.Generator().manual_seed(0)), (4,))
    quantizer.bits = 4
    optimizer = torch.optim.SGD(quantizer.parameters(), lr=5.0)
    for _ in range(20):
        optimizer.zero_grad()
        quantizer.scale.sum().backward()
        optimizer.step()
    assert bool((quantizer.scale > 0).all())


def test_exact_scales_are_not_learned() -> None:
    quantizer = LearnedQuantizer("conv1.input", "input", signed=None, granularity=Granularity.ROW)
    binary = torch.tensor([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
    quantizer.calibrate(binary, (1,))
    quantizer.bits = 1
    assert not quantizer.scale.requires_grad
    assert torch.equal(quantizer.fake_quantize(binary).dense, (binary > 0).float())
    quantizer.calibrate(torch.rand(4, 3), (1,))
    assert quantizer.scale.requires_grad


def test_forward_hooks_read_or_replace_the_real_values() -> None:
    quantizer = LearnedQuantizer("conv1.message", "message", signed=True)
    x = torch.randn(4, 3)
    assert quantizer(x) is x
    seen: list[torch.Tensor] = []
    with quantizer.register_forward_hook(lambda module, inputs, values: seen.append(values)):
        assert quantizer(x) is x
    assert seen[0] is x
    with quantizer.register_forward_hook(lambda module, inputs, values: 2 * values):
        assert torch.equal(quantizer(x), 2 * x)


@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("negative", [True, False])
def test_sparse_and_dense_features_quantize_alike(bits: int, negative: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(20, 30, generator=generator) * (torch.rand(20, 30, generator=generator) < 0.1)
    if negative:
        x = x * torch.where(torch.rand(20, 30, generator=generator) < 0.5, -1.0, 1.0)
    quantizer = LearnedQuantizer("conv1.input", "input", signed=None, granularity=Granularity.ROW)
    quantizer.calibrate(x, (bits,))
    quantizer.bits = bits
    sparse, dense = quantizer.fake_quantize(SparseMatrix.from_dense(x)), quantizer.fake_quantize(x)
    assert torch.equal(sparse.dense, dense.dense)
    assert torch.equal(sparse.to_real(), dense.to_real())


def test_bit_width_without_calibration_is_refused_by_name() -> None:
    quantizer = LearnedQuantizer("conv1.weight", "weight", signed=True)
    quantizer.calibrate(torch.ones(2, 2), (2, 8))
    quantizer.bits = 3
    with pytest.raises(BitWidthError, match=r"bit-width 3 of component 'conv1.weight' is not among \(2, 8\)"):
        _ = quantizer.scale


@pytest.mark.parametrize("factor", [1e-8, 0.01, 1.0, 1e6])
def test_rows_of_zeros_leave_the_scales_of_the_others_alone(factor: float) -> None:
    quantizer = LearnedQuantizer("conv1.input", "input", signed=None, granularity=Granularity.ROW)
    x = factor * torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    quantizer.calibrate(x, (8,))
    exponent = quantizer.row_exponent
    quantizer.calibrate(torch.cat([x, torch.zeros(1, 3)]), (8,))
    assert quantizer.row_exponent == exponent
    quantizer.bits = 8
    quantized = quantizer.quantizer().quantize(torch.cat([x, torch.zeros(1, 3)]))
    torch.testing.assert_close(quantized.dequantize()[:4], x.double(), rtol=0.02, atol=0.01 * factor)
    assert quantized.dequantize()[4].tolist() == [0, 0, 0]


def test_rows_far_above_the_calibration_data_are_refused() -> None:
    quantizer = LearnedQuantizer("conv1.input", "input", signed=None, granularity=Granularity.ROW)
    quantizer.calibrate(torch.rand(4, 3), (8,))
    quantizer.bits = 8
    assert quantizer.quantizer().quantize(torch.full((1, 3), 10.0)).values.tolist() == [[255] * 3]
    with pytest.raises(ValueError, match="is beyond what a fixed-point number"):
        quantizer.quantizer().quantize(torch.full((1, 3), 1e6))


def test_the_sign_is_that_of_the_newest_calibration() -> None:
    quantizer = LearnedQuantizer("conv1.input", "input", signed=None)
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    for values, minimum in ((x.abs(), 0), (x, -8), (x.abs(), 0)):
        quantizer.calibrate(values, (4,))
        quantizer.bits = 4
        assert quantizer.range.minimum == minimum


def test_columns_that_are_all_but_empty_leave_gradients_finite() -> None:
    # Weight decay takes the weights of dead neurons to 1e-37: scales of that size would overflow float32's gradients.
    weight = torch.randn(16, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1e-37, 0.0])
    quantizer = LearnedQuantizer("conv1.weight", "weight", signed=True, granularity=Granularity.COLUMN)
    quantizer.calibrate(weight, (4, 8))
    for quantizer.bits in (4, 8):
        quantizer.fake_quantize(weight).to_real().square().sum().backward()
        gradient = quantizer.scales.log_scales[str(quantizer.bits)].grad
        assert gradient is not None
        assert bool(gradient.isfinite().all())
        scale = quantizer.scale.detach()
        assert float(scale.max() / scale.min()) <= 2**20 * (1 + 1e-5)
