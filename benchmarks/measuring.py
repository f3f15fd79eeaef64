"""Interleaved measurements, and what every result file says of itself."""

import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

__all__ = ["circumstances", "interleaved"]

_PACKAGES = ("mixq-rl", "torch", "torch_geometric", "numpy")


def interleaved(
    contestants: Mapping[str, Callable[[], object]], seconds: float, device: str = "cpu", least: int = 3
) -> dict[str, float]:
    """Return the median seconds of a warm call of each contestant.

    They take turns, in a new order each round, so that what else the machine does falls on all alike. A turn is one
    call that does not count, because the one before leaves its own data in the caches, and three that do. There are at
    least ``least`` rounds, and as many as fit into ``seconds``.
    """
    draw, order = random.Random(0), list(contestants.items())
    times: dict[str, list[float]] = {name: [] for name in contestants}
    started, rounds = time.perf_counter(), 0
    while rounds < least or (time.perf_counter() - started < seconds and rounds < 200):
        draw.shuffle(order)
        for name, contestant in order:
            contestant()
            for _ in range(3):
                _wait(device)
                begun = time.perf_counter()
                contestant()
                _wait(device)
                times[name].append(time.perf_counter() - begun)
        rounds += 1
    return {name: statistics.median(measured) for name, measured in times.items()}


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def circumstances(program: str, device: str = "cpu") -> dict[str, Any]:
    """Return what is needed to judge and to repeat a measurement."""
    return {
        "command": " ".join(["python", f"benchmarks/{program}", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "packages": {package: version(package) for package in _PACKAGES},
        "python": platform.python_version(),
        "processor": torch.cuda.get_device_name() if device == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
