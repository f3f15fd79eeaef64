"""Sparse matrices from arrays of a file, checked before their rows are read."""

from typing import Any

import numpy as np
from scipy import sparse

__all__ = ["checked_csr"]


def checked_csr(data: Any, indices: Any, indptr: Any, shape: Any) -> sparse.csr_matrix:
    """Return a CSR matrix whose entries all lie in it. SciPy does not check them, and then reads and writes elsewhere.

    Args:
        data: values, ``[entries]``.
        indices: columns, integers ``[entries]``.
        indptr: first entry of each row, integers ``[rows + 1]``.
        shape: two integers.

    Raises:
        ValueError: if the arrays are no such matrix.
    """
    arrays = [np.asarray(array) for array in (data, indices, indptr)]
    if any(array.ndim != 1 for array in arrays) or any(array.dtype.kind not in "iu" for array in arrays[1:]):
        raise ValueError("a sparse matrix of arrays that are not one-dimensional, or of indices that are no integers")
    size = np.asarray(shape)
    if size.shape != (2,) or size.dtype.kind not in "iu" or bool((size < 0).any()):
        raise ValueError("a sparse matrix without two dimensions")
    # SciPy's own full check is skipped where the last entry of indptr is not positive.
    _, columns, rows = arrays
    if len(rows) != size[0] + 1 or rows[0] != 0 or bool((rows[1:] < rows[:-1]).any()) or rows[-1] > len(columns):
        raise ValueError("a sparse matrix whose rows lie outside of its entries")
    if len(columns) and not 0 <= int(columns.min()) <= int(columns.max()) < size[1]:
        raise ValueError("a sparse matrix with entries outside of its columns")
    matrix = sparse.csr_matrix(tuple(arrays), shape=tuple(size.tolist()))
    matrix.check_format(full_check=True)
    return matrix
