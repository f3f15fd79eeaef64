import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixq_rl.quantization import Granularity, IntegerRange, Quantizer, fit_quantizer, row_magnitude
from mixq_rl.quantization.observers import MeanSquaredError, MinMax, MovingAverage, Observer, Percentile, fit
from mixq_rl.sparse import SparseMatrix


@given(st.integers(1, 8), st.booleans(), st.floats(1e-3, 1e3), st.integers(0, 100))
def test_error_is_at_most_half_a_step_within_the_range(bits: int, signed: bool, scale: float, seed: int) -> None:
    offered = IntegerRange(bits, signed)
    if offered.is_sign:
        return
    generator = torch.Generator().manual_seed(seed)
    low, high = offered.minimum * scale, offered.maximum * scale
    x = low + (high - low) * torch.rand(5, 10, generator=generator, dtype=torch.float64)
    quantized = Quantizer(offered, torch.tensor(scale, dtype=torch.float64)).quantize(x)
    assert quantized.values.dtype == offered.dtype
    assert float((quantized.dequantize() - x).abs().max()) <= scale / 2 * (1 + 1e-9)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_row_normalised_binary_features_are_exact_at_any_bit_width(bits: int) -> None:
    words = (torch.rand(30, 17, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    words[3] = 0
    x = words / words.sum(dim=1, keepdim=True).clamp(min=1)
    fitted, error = fit_quantizer(x, bits, signed=False, granularity=Granularity.ROW)
    assert error == 0
    quantizer = Quantizer(fitted.range, fitted.scale, row_exponent=26)
    # But for the rounding of the rows' fixed-point scales.
    torch.testing.assert_close(quantizer.quantize(x).dequantize(), x.double(), rtol=1e-6, atol=0)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 8), st.booleans(), st.sampled_from(Granularity), st.integers(0, 100))
def test_fitted_scales_are_positive_and_error_falls_with_bits(
    bits: int, affine: bool, granularity: Granularity, seed: int
) -> None:
    affine = affine and granularity is Granularity.TENSOR
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(seed))
    quantizer, error = fit_quantizer(x, bits, signed=True, affine=affine, granularity=granularity)
    assert bool((quantizer.scale > 0).all())
    assert quantizer.range.minimum <= quantizer.zero_point <= quantizer.range.maximum
    assert 0 < error < 1
    if bits < 8:
        assert fit_quantizer(x, bits + 1, signed=True, affine=affine, granularity=granularity)[1] < error


def test_affine_fit_spends_its_range_on_the_data() -> None:
    x = torch.linspace(-1, 7, 100)
    _, symmetric = fit_quantizer(x, 4, signed=True)
    quantizer, affine = fit_quantizer(x, 4, signed=True, affine=True)
    assert affine < symmetric / 2
    assert quantizer.zero_point != 0


def test_column_scales_follow_their_columns() -> None:
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 100.0])
    quantizer, _ = fit_quantizer(x, 4, signed=True, granularity=Granularity.COLUMN)
    assert quantizer.scale.shape == (2,)
    assert 50 < float(quantizer.scale[1] / quantizer.scale[0]) < 200


@pytest.mark.parametrize("x", [torch.zeros(3, 4), torch.zeros(0, 4), torch.full((2, 2), 5.0)])
@pytest.mark.parametrize("granularity", list(Granularity))
def test_degenerate_data_still_give_a_positive_scale(x: torch.Tensor, granularity: Granularity) -> None:
    quantizer, error = fit_quantizer(x, 4, signed=True, granularity=granularity)
    assert bool((quantizer.scale > 0).all())
    assert error < 0.01


def test_what_is_exact_on_a_sample_only_is_not_called_exact() -> None:
    x = torch.rand(6000, 100, generator=torch.Generator().manual_seed(0))
    x[::3] = (x[::3] > 0.5).float()
    _, error = fit_quantizer(x, 1, signed=False, granularity=Granularity.ROW)
    assert error > 0.1


def test_row_magnitude_is_the_same_for_sparse() -> None:
    x = torch.tensor([[0.0, -3.0], [0.0, 0.0]])
    assert row_magnitude(x).tolist() == row_magnitude(SparseMatrix.from_dense(x)).tolist() == [[3.0], [0.0]]


@pytest.mark.parametrize("observer", [MeanSquaredError(), MinMax(), MovingAverage(), Percentile()])
def test_columns_that_a_sample_of_rows_misses_have_scales_of_their_own(observer: Observer) -> None:
    x = torch.zeros(4000, 200)
    x[torch.arange(4000), torch.arange(4000) % 200] = 0.03  # every row has one entry; some columns are in no sample
    quantizer, error = fit(observer, x, IntegerRange(4, False), affine=False, granularity=Granularity.COLUMN)
    assert float(quantizer.scale.max()) < 0.01
    assert error < 0.01


@pytest.mark.parametrize(("signed", "affine"), [(True, False), (True, True), (False, False)])
def test_one_row_out_of_line_does_not_take_the_range_of_the_others(signed: bool, affine: bool) -> None:
    x = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    x = x if signed else x.relu()
    alone, _ = fit_quantizer(x, 8, signed=signed, affine=affine)
    x[7] *= 1e6
    together, error = fit_quantizer(x, 8, signed=signed, affine=affine)
    assert together.scale < 4 * alone.scale
    assert error > 0.9  # of the one row, which is clamped


def test_rows_up_to_256_times_the_median_count_by_their_squared_error() -> None:
    x = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    x[7] *= 50
    quantizer, error = fit_quantizer(x, 8, signed=True)
    assert quantizer.scale > 0.2 * x.abs().max() / 127
    assert error < 0.1
