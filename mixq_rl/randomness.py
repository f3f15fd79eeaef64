"""Random seeds that are limited to a block."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ["RandomStream", "seeded"]


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's global generators inside the block, and restore their states afterwards.

    Args:
        seed: seed of the generators of the CPU and the device.
        device: GPU on which numbers are drawn, or None. Generators of other GPUs are neither seeded nor restored.
    """
    gpus = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(gpus, device_type="cuda"):
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


class RandomStream:
    """Random stream for a library that draws from the global generators of Python, NumPy and torch (on the CPU).

    Inside a block of :meth:`active` the global generators have the state of the stream. The next block continues the
    stream. Outside the blocks the global generators are those of the caller.

    Args:
        seed: seed of the stream, 0 ... 2^32 - 1.
    """

    def __init__(self, seed: int) -> None:
        outer = _get()
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002  the global generator is what the library draws from
        torch.default_generator.manual_seed(seed)
        self._state = _get()
        _set(outer)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Give the global generators the state of the stream inside the block."""
        outer = _get()
        try:
            _set(self._state)
            yield
        finally:
            self._state = _get()
            _set(outer)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the stream, as plain values and a tensor."""
        python, (name, keys, *rest), of_torch = self._state
        return {"python": python, "numpy": (name, keys.tolist(), *rest), "torch": of_torch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned.

        Raises:
            LookupError, OverflowError, RuntimeError, TypeError, ValueError: for any other state.
        """
        version, numbers, gauss = state["python"]
        name, keys, *rest = state["numpy"]
        self._state = (version, tuple(numbers), gauss), (name, np.array(keys, dtype=np.uint32), *rest), state["torch"]
        with self.active():  # a state that a generator refuses is refused now
            pass


def _get() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002


def _set(state: tuple[Any, ...]) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])  # noqa: NPY002
    torch.set_rng_state(state[2])
