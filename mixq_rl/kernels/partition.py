"""Partition of a graph's edges among the programs of a GPU."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from mixq_rl.kernels.memory import Memory

__all__ = ["CHUNK", "NARROW", "Partition", "Pieces", "partition"]

NARROW = 64
CHUNK = 256


class Pieces(NamedTuple):
    """Pieces of rows: runs of edges, each summed to one row.

    Attributes:
        target: int32, ``[pieces]``, the row that the sum belongs to.
        start: int32, ``[pieces]``, the first edge.
        stop: int32, ``[pieces]``, one after the last edge.
    """

    target: Tensor
    start: Tensor
    stop: Tensor

    @property
    def number(self) -> int:
        return self.target.shape[0]

    def part(self, first: int, last: int) -> Self:
        """Return the pieces ``first`` ... ``last - 1``."""
        return type(self)(self.target[first:last], self.start[first:last], self.stop[first:last])


class Partition(NamedTuple):
    """Partition of a graph's rows by degree, so that concurrent programs have equal work.

    Attributes:
        pieces: chunks of hubs, then the wide rows, then the narrow ones; wide and narrow rows longest first.
        num_chunks: number of chunks, of at most ``chunk`` edges of a hub each; their target is the index in ``hubs``.
        num_wide: number of rows whose edges a program or warp shares.
        hubs: int32, ``[hubs]``, rows that several programs share.
        hub_chunks: int32, ``[hubs]``, number of chunks of each hub.
    """

    pieces: Pieces
    num_chunks: int
    num_wide: int
    hubs: Tensor
    hub_chunks: Tensor

    @property
    def chunks(self) -> Pieces:
        return self.pieces.part(0, self.num_chunks)

    @property
    def wide(self) -> Pieces:
        return self.pieces.part(self.num_chunks, self.num_chunks + self.num_wide)

    @property
    def narrow(self) -> Pieces:
        """Rows with few edges: a program sums several of them, each serially."""
        return self.pieces.part(self.num_chunks + self.num_wide, self.pieces.number)


_partitions: Memory[Partition] = Memory()


def partition(rowptr: Tensor, num_edges: int, narrow: int = NARROW, chunk: int = CHUNK) -> Partition:
    """Return the partition of a graph. The first call for a graph waits for the device.

    The partition is a copy, whose edges exist whatever is in ``rowptr``: entries out of order are replaced.

    Args:
        rowptr: int32, ``[rows + 1]``, the first edge of each row.
        num_edges: number of edges.
        narrow: maximum number of edges of a narrow row.
        chunk: maximum number of edges of a wide row, and of a chunk of a hub.
    """
    key = (num_edges, narrow, chunk)
    return _partitions.recall(rowptr, key, lambda: _partition(_ascending(rowptr, num_edges), narrow, chunk))


def _ascending(rowptr: Tensor, num_edges: int) -> Tensor:
    return rowptr.clamp(0, num_edges).cummax(0).values


def _partition(rowptr: Tensor, narrow: int, chunk: int) -> Partition:
    degree = rowptr.diff()
    # Rows of equal degree keep their order: rows near each other often share neighbours.
    order = degree.argsort(descending=True, stable=True)
    num_hubs, num_wide = torch.stack([(degree > chunk).sum(), (degree > narrow).sum()]).tolist()
    rows = Pieces(order.to(torch.int32), rowptr[:-1][order], rowptr[1:][order])
    hubs = rows.part(0, num_hubs)
    counts = ((hubs.stop - hubs.start + chunk - 1) // chunk).to(torch.int32)
    chunks = _chunks(hubs, counts, chunk)
    others = rows.part(num_hubs, rows.number)
    pieces = Pieces._make(torch.cat(pair) for pair in zip(chunks, others, strict=True))
    return Partition(pieces, chunks.number, num_wide - num_hubs, hubs.target, counts)


def _chunks(hubs: Pieces, counts: Tensor, chunk: int) -> Pieces:
    hub = torch.repeat_interleave(torch.arange(counts.numel(), dtype=torch.int32, device=counts.device), counts)
    before = (counts.cumsum(0) - counts).to(torch.int32)
    place = torch.arange(hub.numel(), dtype=torch.int32, device=counts.device) - before[hub]
    first = hubs.start[hub] + place * chunk
    return Pieces(hub, first, torch.minimum(first + chunk, hubs.stop[hub]))
