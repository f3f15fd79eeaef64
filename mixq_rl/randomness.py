"""Seeds that reach exactly as far as the block they are for."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["seeded"]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from ``seed`` inside the block, and leave the caller's generator untouched."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
