"""What is dear is done only as long as it takes a small part of the time."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

__all__ = ["TimeShare"]


class TimeShare:
    """Keeps what is dear, such as drawing figures, within a share of all time since this was made.

    Args:
        share: of the time, in (0, 1].
    """

    def __init__(self, share: float = 0.03) -> None:
        self._share = share
        self._begun = time.perf_counter()
        self._spent = 0.0
        self._last = 0.0

    @property
    def allows(self) -> bool:
        """Whether what took as long as the last time would leave the share unspent; of the first time it does."""
        return self._spent + self._last <= self._share * (time.perf_counter() - self._begun)

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Count the block as spent."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._last = time.perf_counter() - started
            self._spent += self._last

    def state_dict(self) -> dict[str, float]:
        """Return what has to be known to go on in another process."""
        return {"elapsed": time.perf_counter() - self._begun, "spent": self._spent, "last": self._last}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on where :meth:`state_dict` was called."""
        self._begun = time.perf_counter() - state["elapsed"]
        self._spent, self._last = state["spent"], state["last"]
