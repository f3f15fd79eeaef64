"""Seeds that reach exactly as far as the block they are for."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ["RandomStream", "seeded"]


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Draw torch's random numbers from ``seed`` inside the block, and leave the caller's generators untouched.

    Args:
        seed: of the CPU's generator, and of the device's.
        device: a GPU, if numbers are drawn on one; those of other GPUs are neither seeded nor kept.
    """
    gpus = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(gpus, device_type="cuda"):
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


class RandomStream:
    """The global generators of Python, NumPy and torch (the CPU's), for a library that draws from them.

    Inside its ``with`` blocks they go on from where the last one left them; outside, the caller's are untouched.

    Args:
        seed: of the stream, 0 ... 2^32 - 1.
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
        """Make the stream the global generators inside the block."""
        outer = _get()
        _set(self._state)
        try:
            yield
        finally:
            self._state = _get()
            _set(outer)

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream is, in plain values and a tensor."""
        python, (name, keys, *rest), of_torch = self._state
        return {"python": python, "numpy": (name, keys.tolist(), *rest), "torch": of_torch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was."""
        version, numbers, gauss = state["python"]
        name, keys, *rest = state["numpy"]
        self._state = (version, tuple(numbers), gauss), (name, np.array(keys, dtype=np.uint32), *rest), state["torch"]


def _get() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002


def _set(state: tuple[Any, ...]) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])  # noqa: NPY002
    torch.set_rng_state(state[2])
