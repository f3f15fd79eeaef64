"""Which program sums which edges."""

from typing import NamedTuple

import torch
from torch import Tensor

from mixq_rl.kernels.memory import Memory

__all__ = ["CHUNK", "Partition", "Pieces", "partition"]

_NARROW = 64
CHUNK = 512


class Pieces(NamedTuple):
    """Runs of edges, each summed to one row.

    Attributes:
        target: int32, ``[pieces]``: the row that the sum goes to.
        start: int32, ``[pieces]``: the first edge.
        stop: int32, ``[pieces]``: behind the last edge.
    """

    target: Tensor
    start: Tensor
    stop: Tensor

    @property
    def number(self) -> int:
        return self.target.shape[0]


class Partition(NamedTuple):
    """The rows of a graph by degree, so that programs that run side by side have as much to do.

    Attributes:
        narrow: rows of few edges, longest first: a program sums several of them, each serially.
        wide: rows whose edges the whole program shares.
        chunks: at most ``CHUNK`` edges of a hub; target is the position in ``hubs``.
        hubs: int32, ``[hubs]``: rows that several programs share.
    """

    narrow: Pieces
    wide: Pieces
    chunks: Pieces
    hubs: Tensor


_partitions: Memory[Partition] = Memory()


def partition(rowptr: Tensor) -> Partition:
    """Return the partition of a graph; the device is waited for the first time that a graph is seen."""
    return _partitions.recall(rowptr, None, lambda: _partition(rowptr))


def _partition(rowptr: Tensor) -> Partition:
    degree = rowptr.diff()
    # Rows of one degree stay in their order, which often has neighbourhoods in common.
    order = degree.argsort(descending=True, stable=True)
    above = torch.stack([(degree > CHUNK).sum(), (degree > _NARROW).sum()]).tolist()
    rows = order.to(torch.int32)
    start, stop = rowptr[:-1][order], rowptr[1:][order]
    hubs, wide, narrow = (slice(0, above[0]), slice(above[0], above[1]), slice(above[1], None))
    return Partition(
        narrow=Pieces(rows[narrow], start[narrow], stop[narrow]),
        wide=Pieces(rows[wide], start[wide], stop[wide]),
        chunks=_chunks(start[hubs], stop[hubs]),
        hubs=rows[hubs],
    )


def _chunks(start: Tensor, stop: Tensor) -> Pieces:
    count = (stop - start + CHUNK - 1) // CHUNK
    target = torch.repeat_interleave(torch.arange(count.numel(), dtype=torch.int32, device=count.device), count)
    before = (count.cumsum(0) - count).to(torch.int32)
    place = torch.arange(target.numel(), dtype=torch.int32, device=count.device) - before[target]
    first = start[target] + place * CHUNK
    return Pieces(target, first, torch.minimum(first + CHUNK, stop[target]))
