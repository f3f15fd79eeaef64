"""Timing of networks: medians of warm executions, in which several networks take turns."""

import statistics
import time
import warnings
from collections.abc import Callable, Sequence

import torch

from mixq_rl.errors import InputError
from mixq_rl.metering import unmetered

__all__ = ["check_repeats", "median_seconds"]

_WARM_UPS = 3


def check_repeats(repeats: int) -> None:
    """Check a number of timing repeats.

    Raises:
        InputError: for less than one repeat.
    """
    if repeats < 1:
        raise InputError(f"{repeats} timing repeats: at least 1 is needed")


def median_seconds(executions: Sequence[Callable[[], object]], repeats: int, device: torch.device) -> list[float]:
    """Return the median seconds of each execution. They take turns, so that other load affects all of them equally.

    On a CPU the seconds are those of the whole call, after a warm-up. On a GPU each execution is captured as a CUDA
    graph after a warm-up. The seconds are those of its replays, from the first kernel to the last: they include gaps
    between operations, but not Python. An execution that cannot be captured is executed directly, after a
    RuntimeWarning, and its seconds include the time in which Python launches the kernels. Meters see none of these
    executions.

    Args:
        executions: functions to time. Each reads the same memory every time, and does not change its inputs.
        repeats: number of timed calls of each, at least 1.
        device: device of the executions.

    Raises:
        InputError: for less than one repeat.
    """
    check_repeats(repeats)
    if device.type != "cuda":
        with unmetered(), torch.no_grad():
            for execute in executions:
                execute()
            return _medians([_called(execute) for execute in executions], repeats)
    with torch.cuda.device(device), unmetered(), torch.no_grad():
        return _medians([_between_events(_replay(execute)) for execute in executions], repeats)


def _medians(timers: Sequence[Callable[[], float]], repeats: int) -> list[float]:
    rounds = [[timer() for timer in timers] for _ in range(repeats)]
    return [statistics.median(measured) for measured in zip(*rounds, strict=True)]


def _called(execute: Callable[[], object]) -> Callable[[], float]:
    def timer() -> float:
        started = time.perf_counter()
        execute()
        return time.perf_counter() - started

    return timer


def _between_events(execute: Callable[[], object]) -> Callable[[], float]:
    def timer() -> float:
        started, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        started.record()
        execute()
        ended.record()
        ended.synchronize()
        return float(started.elapsed_time(ended)) / 1000

    return timer


def _replay(execute: Callable[[], object]) -> Callable[[], object]:
    """Return a function that replays an execution, warmed up; the execution itself if it cannot be captured."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UPS):
            execute()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            execute()
    except RuntimeError as error:  # the execution synchronizes, or its memory is not available twice
        torch.cuda.synchronize()
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        warnings.warn(
            f"the network cannot be captured as a CUDA graph ({reason}): its seconds include what Python takes to "
            f"launch the kernels",
            RuntimeWarning,
            stacklevel=4,
        )
        return execute
    graph.replay()  # the first replay uploads the graph
    return graph.replay
