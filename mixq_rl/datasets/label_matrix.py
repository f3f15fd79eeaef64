"""Labels of multi-label tasks: a matrix of 0, 1 and NaN."""

import torch
from torch import Tensor

from mixq_rl.errors import InvalidGraphError

__all__ = ["check_label_matrix", "has_label", "label_sets"]


def has_label(y: Tensor) -> Tensor:
    """Return whether each row has a class, or at least one known label, bool ``[rows]``."""
    return ~y.isnan().all(dim=1) if y.dim() == 2 else y >= 0


def label_sets(y: Tensor) -> Tensor:
    """Return the number of each row's set of labels among all distinct sets, in lexicographic order, int64 ``[rows]``.

    An unknown label differs from 0 and from 1.
    """
    return y.nan_to_num(nan=-1.0).unique(dim=0, return_inverse=True)[1]


def check_label_matrix(y: Tensor, num_rows: int, noun: str) -> None:
    """Check that ``y`` is float32 and holds 0, 1 or NaN for each label of each ``noun`` (node or graph).

    Raises:
        InvalidGraphError: saying what is wrong.
    """
    if y.dtype != torch.float32:
        raise InvalidGraphError(f"y with several labels for each {noun} must be float32, not {y.dtype}")
    if y.shape[0] != num_rows or not y.shape[1]:
        raise InvalidGraphError(
            f"y has shape {list(y.shape)}, but there are {num_rows} {noun}s: each needs a row of labels"
        )
    wrong = ((y != 0) & (y != 1) & ~y.isnan()).nonzero()
    if wrong.numel():
        row, label = wrong[0].tolist()
        raise InvalidGraphError(
            f"label {label} of {noun} {row} is {float(y[row, label]):g}: labels are 0, 1, or NaN where unknown"
        )
