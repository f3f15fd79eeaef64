"""Bounds checks of a graph's indices: of what they are now, or of a copy that is made once."""

from typing import NoReturn

import torch
from torch import Tensor

from mixq_rl.edges import CHANGED
from mixq_rl.errors import InvalidGraphError
from mixq_rl.kernels.memory import Memory

__all__ = ["check_indices", "checked_copy", "raise_invalid"]

_row_ends: Memory[tuple[int, int, int, int]] = Memory()
_neighbours: Memory[tuple[Tensor, tuple[int, int]]] = Memory()


def check_indices(rowptr: Tensor, col: Tensor, num_nodes: int) -> None:
    """Check that ``rowptr`` ascends from 0 to the number of edges and that ``col`` names nodes that exist.

    Raises:
        InvalidGraphError: naming the wrong entry.
    """
    _check_row_ends(_look_through(rowptr), col.numel())
    _check_neighbours(_bounds(col), num_nodes)


def raise_invalid(rowptr: Tensor, col: Tensor, num_nodes: int) -> NoReturn:
    """Raise the error for indices that a kernel found to be wrong; they may have been written to since.

    Raises:
        InvalidGraphError: naming the wrong entry, if it still is wrong.
    """
    check_indices(rowptr, col, num_nodes)
    raise InvalidGraphError(CHANGED)


def checked_copy(rowptr: Tensor, col: Tensor, num_nodes: int) -> Tensor:
    """Return a private copy of ``col``, after both are checked like in :func:`check_indices`.

    The copy is remembered while ``col`` exists and torch does not write to it, so that a GPU is waited for only once.
    Inference tensors do not record writes and are copied in every call. Other writes are not noticed, those through
    ``.data``, by numpy or by another process: the copy, whose neighbours exist, goes on being used.

    Raises:
        InvalidGraphError: naming the wrong entry.
    """
    _check_row_ends(_row_ends.recall(rowptr, None, lambda: _look_through(rowptr)), col.numel())
    neighbours, bounds = _neighbours.recall(col, None, lambda: _copied(col))
    _check_neighbours(bounds, num_nodes)
    return neighbours


def _copied(col: Tensor) -> tuple[Tensor, tuple[int, int]]:
    copy = col.clone(memory_format=torch.contiguous_format)
    return copy, _bounds(copy)


def _check_row_ends(ends: tuple[int, int, int, int], num_edges: int) -> None:
    first, last, lowest, step = ends
    # Without negative entries no difference can wrap around.
    descends = lowest < 0 or step < 0
    if first != 0 or last != num_edges or descends:
        raise InvalidGraphError(
            f"rowptr must ascend from 0 to the number of edges, {num_edges}: it goes from {first} to {last}"
            + (" and descends on the way" if descends else "")
        )


def _check_neighbours(bounds: tuple[int, int], num_nodes: int) -> None:
    low, high = bounds
    if low < 0 or high >= num_nodes:
        offender = low if low < 0 else high
        raise InvalidGraphError(f"col names node {offender}, but there are rows for nodes 0...{num_nodes - 1}")


def _look_through(rowptr: Tensor) -> tuple[int, int, int, int]:
    """Return the first, the last and the least entry, and the least difference between an entry and the next."""
    step = rowptr.diff().amin() if rowptr.numel() > 1 else rowptr.new_zeros(())
    first, last, lowest, least = torch.stack([rowptr[0], rowptr[-1], rowptr.amin(), step]).tolist()
    return first, last, lowest, least


def _bounds(col: Tensor) -> tuple[int, int]:
    """Return the least and the greatest entry; without entries, bounds that fit every graph."""
    if col.numel() == 0:
        return 0, -1
    low, high = torch.stack(torch.aminmax(col)).tolist()
    return low, high
