import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixq_rl.sparse import CSR, SparseMatrix, as_features, dropout


@settings(deadline=None, max_examples=30)
@given(rows=st.integers(1, 8), columns=st.integers(1, 8), features=st.integers(1, 4), seed=st.integers(0, 1000))
def test_product_and_gradients_equal_the_dense_ones(rows: int, columns: int, features: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    dense = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    dense = dense * (torch.rand(rows, columns, generator=generator) < 0.4)
    factor = torch.randn(columns, features, generator=generator, dtype=torch.float64)
    upstream = torch.randn(rows, features, generator=generator, dtype=torch.float64)

    matrix = SparseMatrix.from_dense(dense)
    value, sparse_factor = matrix.value.clone().requires_grad_(), factor.clone().requires_grad_()
    product = matrix.with_value(value) @ sparse_factor
    product.backward(upstream)

    dense_leaf, dense_factor = dense.clone().requires_grad_(), factor.clone().requires_grad_()
    expected = dense_leaf @ dense_factor
    expected.backward(upstream)

    assert value.grad is not None
    assert dense_leaf.grad is not None
    torch.testing.assert_close(product, expected)
    torch.testing.assert_close(sparse_factor.grad, dense_factor.grad)
    torch.testing.assert_close(value.grad, dense_leaf.grad[dense != 0])
    assert torch.equal(matrix.to_dense(), dense)


def test_features_become_sparse_only_where_few_entries_are_set() -> None:
    x = torch.zeros(10, 10)
    x[0, 0] = 1
    assert isinstance(as_features(x), SparseMatrix)
    assert isinstance(as_features(torch.ones(2, 2)), torch.Tensor)


@pytest.mark.parametrize("sparse", [True, False])
def test_dropout_scales_what_it_keeps_and_rests_outside_training(sparse: bool) -> None:
    dense = torch.ones(50, 50)
    x = SparseMatrix.from_dense(dense) if sparse else dense
    dropped = dropout(x, 0.5, training=True)
    values = dropped.value if isinstance(dropped, SparseMatrix) else dropped
    assert set(values.unique().tolist()) == {0.0, 2.0}
    kept = dropout(x, 0.5, training=False)
    assert torch.equal(kept.to_dense(), dense)


@settings(deadline=None, max_examples=30)
@given(rows=st.integers(0, 6), columns=st.integers(1, 6), heads=st.integers(1, 4), seed=st.integers(0, 1000))
def test_repeated_is_one_matrix_for_each_head(rows: int, columns: int, heads: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    csr = SparseMatrix.from_dense((torch.rand(rows, columns, generator=generator) < 0.4).double()).csr
    value = torch.rand(csr.col.numel(), heads, generator=generator, dtype=torch.float64)
    repeated, order = csr.repeated(heads)
    assert repeated.rowptr.dtype == repeated.col.dtype == torch.int32
    got = SparseMatrix(repeated, value.flatten()[order]).to_dense().view(rows, heads, columns, heads)
    for head in range(heads):
        for other in range(heads):
            expected = SparseMatrix(csr, value[:, head]).to_dense() if head == other else torch.zeros(rows, columns)
            assert torch.equal(got[:, head, :, other], expected.double())
    assert csr.repeated(heads)[0] is repeated


def test_fullest_row() -> None:
    csr = CSR(torch.tensor([0, 1, 4, 4, 6], dtype=torch.int32), torch.zeros(6, dtype=torch.int32), 3)
    assert csr.fullest_row == (1, 3)
    assert CSR(torch.zeros(1, dtype=torch.int32), torch.zeros(0, dtype=torch.int32), 3).fullest_row == (0, 0)


@settings(deadline=None, max_examples=30)
@given(rows=st.integers(0, 6), columns=st.integers(1, 6), seed=st.integers(0, 1000))
def test_transposed_brings_every_entry_along(rows: int, columns: int, seed: int) -> None:
    dense = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    matrix = SparseMatrix.from_dense(dense * (dense < 0.4))
    transposed, order = matrix.csr.transposed
    assert torch.equal(SparseMatrix(transposed, matrix.value[order]).to_dense(), matrix.to_dense().t())


@settings(deadline=None, max_examples=30)
@given(rows=st.integers(0, 6), columns=st.integers(1, 6), features=st.integers(1, 9), seed=st.integers(0, 1000))
def test_products_summed_in_order_are_products(rows: int, columns: int, features: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    dense = torch.rand(rows, columns, generator=generator, dtype=torch.float64)
    matrix = SparseMatrix.from_dense(dense * (dense < 0.4))
    x = torch.rand(columns, features, generator=generator, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mixq_rl.sparse._GATHERED", 3 * max(1, matrix.csr.col.numel()))  # three features at a time
        product = matrix.csr._summed_in_order(matrix.value, x)
    torch.testing.assert_close(product, matrix.to_dense() @ x)
