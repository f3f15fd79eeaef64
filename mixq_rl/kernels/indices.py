"""Bounds checks of a graph's indices before execution, made once for each graph."""

import torch
from torch import Tensor

from mixq_rl.errors import InvalidGraphError
from mixq_rl.kernels.memory import Memory

__all__ = ["check_indices"]

_row_ends: Memory[tuple[int, int, int, int]] = Memory()
_neighbours: Memory[tuple[int, int]] = Memory()


def check_indices(rowptr: Tensor, col: Tensor, num_nodes: int) -> None:
    """Check that ``rowptr`` ascends from 0 to the number of edges and that ``col`` names nodes that exist.

    The result of the check is remembered while the tensors exist and torch does not write to them. Inference tensors do
    not record writes and are checked in every call.

    Raises:
        InvalidGraphError: naming the wrong entry.
    """
    first, last, lowest, step = _row_ends.recall(rowptr, None, lambda: _look_through(rowptr))
    # Without negative entries no difference can wrap around.
    descends = lowest < 0 or step < 0
    if first != 0 or last != col.numel() or descends:
        raise InvalidGraphError(
            f"rowptr must ascend from 0 to the number of edges, {col.numel()}: it goes from {first} to {last}"
            + (" and descends on the way" if descends else "")
        )
    low, high = _neighbours.recall(col, None, lambda: _bounds(col))
    if low < 0 or high >= num_nodes:
        offender = low if low < 0 else high
        raise InvalidGraphError(f"col names node {offender}, but there are rows for nodes 0...{num_nodes - 1}")


def _look_through(rowptr: Tensor) -> tuple[int, int, int, int]:
    step = rowptr.diff().amin() if rowptr.numel() > 1 else rowptr.new_zeros(())
    first, last, lowest, least = torch.stack([rowptr[0], rowptr[-1], rowptr.amin(), step]).tolist()
    return first, last, lowest, least


def _bounds(col: Tensor) -> tuple[int, int]:
    """Return the least and the greatest entry; without entries, bounds that fit every graph."""
    if col.numel() == 0:
        return 0, -1
    low, high = torch.stack(torch.aminmax(col)).tolist()
    return low, high
