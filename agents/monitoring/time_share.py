"""A limit on the share of the time that expensive monitoring takes."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

__all__ = ["TimeShare"]


class TimeShare:
    """Limits expensive work, such as drawing figures, to a share of the time since this object was made.

    Args:
        share: fraction of the time, in (0, 1].
    """

    def __init__(self, share: float = 0.03) -> None:
        self._share = share
        self._begun = time.perf_counter()
        self._spent = 0.0
        self._last = 0.0

    @property
    def allows(self) -> bool:
        """Whether another block as long as the last one stays within the share. The first block always does."""
        return self._spent + self._last <= self._share * (time.perf_counter() - self._begun)

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Count the time of the block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._last = time.perf_counter() - started
            self._spent += self._last

    def state_dict(self) -> dict[str, float]:
        """Return the state for a checkpoint."""
        return {"elapsed": time.perf_counter() - self._begun, "spent": self._spent, "last": self._last}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Restore the state of :meth:`state_dict`."""
        self._begun = time.perf_counter() - state["elapsed"]
        self._spent, self._last = state["spent"], state["last"]
