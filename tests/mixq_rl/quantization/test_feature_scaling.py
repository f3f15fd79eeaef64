import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixq_rl.quantization import FeatureScaling
from mixq_rl.sparse import SparseMatrix


def drawn(scales: list[float], seed: int = 0, rows: int = 50) -> torch.Tensor:
    """Columns whose entries, of both signs, are about as large as given."""
    return torch.randn(rows, len(scales), generator=torch.Generator().manual_seed(seed)) * torch.tensor(scales)


def fitted(x: torch.Tensor, **options: bool) -> FeatureScaling:
    scaling = FeatureScaling.fitted(x, **options)
    assert scaling is not None
    return scaling


@pytest.mark.parametrize("scales", [[1, 1, 1], [1, 30, 0.5], [0.001, 0.002], [100, 1], [0, 1, 0]])
def test_features_in_line_stay_as_they_are(scales: list[float]) -> None:
    assert FeatureScaling.fitted(drawn(scales)) is None


def test_sparse_binary_columns_and_constant_ones_stay_as_they_are() -> None:
    words = (torch.rand(100, 30, generator=torch.Generator().manual_seed(0)) < 0.05).float()
    rows = words / words.sum(dim=1, keepdim=True).clamp(min=1)
    assert FeatureScaling.fitted(rows) is None
    assert FeatureScaling.fitted(torch.ones(10, 1)) is None
    assert FeatureScaling.fitted(torch.zeros(10, 3)) is None
    assert FeatureScaling.fitted(torch.zeros(0, 3)) is None


@settings(deadline=None)
@given(
    exponents=st.lists(st.integers(-25, 25), min_size=2, max_size=12),
    seed=st.integers(0, 1000),
)
def test_columns_out_of_line_come_into_line_exactly(exponents: list[int], seed: int) -> None:
    x = drawn([2.0**exponent for exponent in exponents], seed)
    scaling = FeatureScaling.fitted(x)
    if scaling is None:
        return
    scaled = scaling(x)
    assert torch.equal(scaled.double() / scaling.factor, x.double())  # no bit is lost
    magnitude, before = scaled.abs().amax(dim=0), x.abs().amax(dim=0)
    if before.max() > 256 * before.min():
        assert magnitude.max() <= 16 * magnitude.min()
    assert 2**-11 <= magnitude.median() <= 2**11


@pytest.mark.parametrize("scale", [1e-14, 1e15, 1e-30])
def test_features_all_small_or_large_are_brought_to_one(scale: float) -> None:
    scaled = fitted(drawn([scale] * 4))(drawn([scale] * 4))
    assert 0.1 < scaled.abs().median() < 10


def test_one_entry_moves_its_column_alone() -> None:
    x = drawn([1] * 5)
    x[3, 2] = 1e6
    scaling = fitted(x)
    assert (scaling.factor != 1).nonzero().tolist() == [[2]]
    assert scaling.offset is None
    assert str(scaling) == "1 of 5 feature columns are scaled exactly: column 2 times 2^-19"


def test_one_entry_does_not_count_where_columns_count_by_their_median() -> None:
    x = drawn([1] * 5)
    x[3, 2] = 1e6
    assert FeatureScaling.fitted(x, shifts=False, typical=True) is None
    x[:, 4] *= 1e6
    assert (fitted(x, shifts=False, typical=True).factor != 1).nonzero().tolist() == [[4]]


def test_years_are_told_apart() -> None:
    x = drawn([1, 1, 5])
    x[:, 2] += 2020
    scaling = fitted(x)
    assert scaling.offset is not None
    assert 2000 < scaling.offset[2] < 2040
    assert scaling(x)[:, 2].std() > 0.3
    kept = fitted(x, shifts=False)
    assert kept.offset is None
    assert kept(x)[:, 2].std() < 0.1


def test_a_constant_column_keeps_its_information() -> None:
    x = drawn([1, 1, 1])
    x[:, 1] = 1e4
    scaled = fitted(x)(x)
    assert torch.equal(scaled[:, 1], scaled[:1, 1].expand(50))
    assert 1 < scaled[0, 1] < 5


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_every_layout_is_scaled_alike(dtype: torch.dtype) -> None:
    x = drawn([1, 1000, 0.001]).where(torch.arange(50)[:, None] % 3 == torch.arange(3), 0).to(dtype)
    for offset in (None, torch.tensor([0.0, 3.0, 0.0], dtype=torch.float64)):
        scaling = FeatureScaling(torch.tensor([1, 2.0**-10, 2.0**10], dtype=torch.float64), offset)
        expected = scaling(x)
        assert expected.dtype == (torch.float32 if dtype is torch.float16 else dtype)
        for sparse in (x.to_sparse_csr(), x.to_sparse_coo(), SparseMatrix.from_dense(x)):
            assert torch.equal(scaling(sparse).to_dense(), expected)


def test_what_is_no_scaling_is_refused() -> None:
    one = torch.ones(3, dtype=torch.float64)
    with pytest.raises(ValueError, match="powers of two"):
        FeatureScaling(one * 3, None)
    with pytest.raises(ValueError, match="powers of two"):
        FeatureScaling(-one, None)
    with pytest.raises(ValueError, match="one finite offset a column"):
        FeatureScaling(one, one[:2])
    with pytest.raises(ValueError, match="one finite offset a column"):
        FeatureScaling(one, one * torch.inf)
    with pytest.raises(TypeError, match="float64"):
        FeatureScaling(one.float(), None)
