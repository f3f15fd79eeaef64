import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from mixq_rl.datasets.sparse_rows import checked_csr


# SciPy's own check accepts the first of these.
@pytest.mark.parametrize("indptr", [[0, 9, 9, -1], [0, 2, 1, 2], [1, 1, 1, 1], [0, 1, 2, 9], [0, 1], []])
def test_rows_outside_of_the_entries_are_refused(indptr: list[int]) -> None:
    with pytest.raises(ValueError, match=r"rows|dimensional"):
        checked_csr(np.ones(2), np.zeros(2, dtype=int), np.array(indptr, dtype=int), (3, 2))


integers = st.lists(st.integers(-2, 6), max_size=6).map(np.array)


def test_matrices_are_those_of_scipy() -> None:
    matrix = sp.random_array((7, 5), density=0.4, format="csr", rng=np.random.default_rng(0))
    found = checked_csr(matrix.data, matrix.indices, matrix.indptr, matrix.shape)
    assert np.array_equal(found.todense(), matrix.todense())


@given(data=integers, indices=integers, indptr=integers, rows=st.integers(-1, 6), columns=st.integers(-1, 6))
def test_what_is_returned_lies_in_the_matrix(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, rows: int, columns: int
) -> None:
    try:
        matrix = checked_csr(data, indices, indptr, (rows, columns))
    except ValueError:
        return
    assert matrix.shape == (rows, columns)
    assert all(0 <= column < columns for column in matrix.indices.tolist())
    assert (np.diff(matrix.indptr) >= 0).all()
    assert matrix.todense().shape == (rows, columns)


@pytest.mark.parametrize("shape", [(1,), (1, 2, 3), (1.5, 2), (2**70, 1), None, "ab"])
def test_wrong_shapes_are_refused(shape: object) -> None:
    with pytest.raises(ValueError, match="dimensions"):
        checked_csr(np.ones(1), np.zeros(1, dtype=int), np.array([0, 1]), shape)
