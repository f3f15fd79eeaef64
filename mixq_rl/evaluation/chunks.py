"""Iteration over many items in chunks of about half a second."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

__all__ = ["in_chunks"]

_LARGEST = 32
_SECONDS = 0.5

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_chunks(
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], Sequence[Result]],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Result]:
    """Yield the results for all items, chunk by chunk.

    The first chunk has one item. Later chunks have at most 32 items and take about half a second, so that a caller who
    ends the iteration loses at most about half a second of work.

    Args:
        items: items in order.
        work: returns one result for each item of a chunk.
        clock: returns the time in seconds.
    """
    first, size = 0, 1
    while first < len(items):
        started = clock()
        results = work(items[first : first + size])
        seconds = clock() - started
        first += size
        if seconds > _SECONDS:
            size = max(size // 2, 1)
        elif seconds < _SECONDS / 2:
            size = min(2 * size, _LARGEST)
        yield from results
