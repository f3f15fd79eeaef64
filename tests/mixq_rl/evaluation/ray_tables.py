"""Evaluators that tests of Ray workers have evaluated in other processes."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from mixq_rl.evaluation.protocol import Evaluation
from tests.lookup_table import LookupTable

__all__ = ["Broken", "Deadly", "Sleeping", "Unpicklable"]


class Sleeping(LookupTable):
    """Allocations with more bits take longer; each process that evaluates leaves a file named by its id."""

    def __init__(self, seconds_per_bit: float, folder: Path) -> None:
        super().__init__()
        self.seconds_per_bit, self.folder = seconds_per_bit, folder

    def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[Evaluation]:
        (self.folder / str(os.getpid())).touch()
        time.sleep(self.seconds_per_bit * sum(map(sum, allocations)))
        return super().evaluate(allocations)


class Broken(LookupTable):
    """Allocations that begin with 2 bits cannot be evaluated; each attempt leaves a line in a file."""

    def __init__(self, attempts: Path) -> None:
        super().__init__()
        self.attempts = attempts

    def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[Evaluation]:
        for first, *_ in allocations:
            if first == 2:
                with self.attempts.open("a") as file:
                    file.write("2\n")
                raise ArithmeticError("the table has a hole\nat this place")
        return super().evaluate(allocations)


class Deadly(LookupTable):
    """The process that evaluates an allocation of 2 bits dies, as often as a folder does not hold files."""

    def __init__(self, folder: Path, deaths: int) -> None:
        super().__init__()
        self.folder, self.deaths = folder, deaths

    def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[Evaluation]:
        died = len(list(self.folder.iterdir()))
        if died < self.deaths and any(set(allocation) == {2} for allocation in allocations):
            (self.folder / str(died)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().evaluate(allocations)


class Unpicklable(LookupTable):
    """A worker cannot restore it."""

    def __setstate__(self, state: object) -> None:
        raise ValueError("it cannot be restored")
