"""Interleaved measurements, and the fields that every file of results has."""

import json
import platform
import random
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

__all__ = ["add_lines", "captured", "circumstances", "interleaved", "read_lines", "replayed"]

_PACKAGES = ("mixq-rl", "torch", "torch_geometric", "numpy")
_SLEEP = 4_000_000  # cycles: two milliseconds


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file of results; none if there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def add_lines(path: Path, program: str, results: Iterable[dict[str, Any]]) -> None:
    """Append results to a file, with the circumstances of ``program``, a line each."""
    with path.open("a") as file:
        file.writelines(json.dumps({**result, **circumstances(program)}) + "\n" for result in results)


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


def replayed(
    contestants: Mapping[str, Callable[[], object]], seconds: float, device: str, calls: int = 1, least: int = 5
) -> dict[str, float]:
    """Return the median seconds of a call of each contestant, as the GPU's own clock has it.

    A contestant that runs out of memory is left out.

    Each is captured in a CUDA graph of ``calls`` calls, or called from Python where it cannot be captured. They take
    turns in a new order each round; the GPU sleeps at first, so that launches wait for it and not it for them. With
    one call a turn, operands that do not fit into the L2 cache with those of the others come from memory; with
    several, small ones stay there. A CPU measures by :func:`interleaved`.
    """
    if device == "cpu":
        return interleaved(contestants, seconds, least=1)
    turns = {}
    for name, contestant in contestants.items():
        turn = captured(contestant, calls) or _repeated(contestant, calls)
        try:
            turn()
            torch.cuda.synchronize()
        except torch.OutOfMemoryError as error:  # others hold memory too
            print(f"  without {name}: {str(error).splitlines()[0][:200]}", flush=True)
            torch.cuda.empty_cache()
        else:
            turns[name] = turn
    draw, order = random.Random(0), list(turns.items())
    times: dict[str, list[float]] = {name: [] for name in turns}
    started, rounds = time.perf_counter(), 0
    while rounds < least or (time.perf_counter() - started < seconds and rounds < 200):
        draw.shuffle(order)
        torch.cuda._sleep(_SLEEP)
        events = {}
        for name, turn in order:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            turn()
            end.record()
            events[name] = begin, end
        torch.cuda.synchronize()
        for name, (begin, end) in events.items():
            times[name].append(begin.elapsed_time(end) / 1e3 / calls)
        rounds += 1
    return {name: statistics.median(measured) for name, measured in times.items()}


def captured(contestant: Callable[[], object], calls: int = 1) -> Callable[[], object] | None:
    """Return the replay of a CUDA graph of ``calls`` calls; None if they cannot be captured."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.stream(stream):
            contestant()
            contestant()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            for _ in range(calls):
                contestant()
    except (RuntimeError, ValueError):  # want of memory among them
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        return None
    return graph.replay


def _repeated(contestant: Callable[[], object], calls: int) -> Callable[[], object]:
    def turn() -> None:
        for _ in range(calls):
            contestant()

    return turn


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def circumstances(program: str, device: str = "cpu") -> dict[str, Any]:
    """Return what is needed to judge and to repeat a measurement."""
    gpu = _gpu() if device == "cuda" else {}
    return gpu | {
        "command": shlex.join(["python", f"benchmarks/{program}", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "packages": {package: version(package) for package in _PACKAGES},
        "python": platform.python_version(),
        "processor": torch.cuda.get_device_name() if device == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
    }


def _gpu() -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(0)
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(query, check=True, capture_output=True, text=True).stdout.split("\n")[0]
    except (OSError, subprocess.CalledProcessError):
        driver = "unknown"
    return {
        "memory_gigabytes": round(properties.total_memory / 1e9, 1),
        "l2_megabytes": round(properties.L2_cache_size / 1e6, 1),
        "multiprocessors": properties.multi_processor_count,
        "driver": driver,
        "triton": version("triton"),
        "cuda": torch.version.cuda,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
