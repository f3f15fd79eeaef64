"""A run whose workers are killed every few seconds, against the same run without workers."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from mixq_rl.agents import RunConfig, resume_training, train
from mixq_rl.agents.records.workers_config import WorkersConfig
from mixq_rl.errors import EvaluationError
from mixq_rl.evaluation.store import EvaluationStore
from mixq_rl.training.cache import PreparationCache

__all__ = ["killing"]

PAUSES = (4.0, 8.0)
"""Shortest and longest time between two kills, in seconds."""

CONFIG = RunConfig(dataset="citation", evaluator="fine-tune", hidden_channels=16, num_layers=1, episodes=48)


@dataclass
class Killer:
    """Kills one of this process's Ray workers after another, and counts them."""

    kills: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        draw = random.Random(0)
        while not self.ended.wait(draw.uniform(*PAUSES)):
            found = workers_of(os.getpid())
            if found:
                os.kill(draw.choice(found), signal.SIGKILL)
                self.kills += 1


def killing(workers: list[int] | None) -> dict[str, Any]:
    """One ``train`` for the built-in citation graph: evaluations and networks with kills and without workers."""
    torch.set_num_threads(1)
    (count,) = workers or (2,)
    with TemporaryDirectory() as folder:
        cache = PreparationCache(Path(folder) / "prepared")
        alone, killed = Path(folder) / "alone", Path(folder) / "killed"
        started = time.perf_counter()
        train(CONFIG, alone, cache=cache)
        seconds = time.perf_counter() - started
        print(f"without workers: {seconds:.1f} s", flush=True)
        started = time.perf_counter()
        with killed_now_and_then() as killer:
            resumed = until_it_ends(killed, cache, WorkersConfig(workers=count))
        found = evaluations(killed)
        return {
            "dataset": CONFIG.dataset,
            "workers": count,
            "seconds_between_kills": PAUSES,
            "kills": killer.kills,
            "resumed": resumed,
            "evaluations": len(found),
            "fine_tuned": len(list((killed / "finalists").iterdir())),
            "seconds_without_workers": round(seconds, 1),
            "seconds": round(time.perf_counter() - started, 1),
            "equal_evaluations": found == evaluations(alone),
            "equal_networks": networks(killed) == networks(alone),
            "equal_tables": table(killed) == table(alone),
        }


def until_it_ends(folder: Path, cache: PreparationCache, workers: WorkersConfig) -> int:
    """Carry out the run, resume it if a job has failed three times, and return how often."""
    for resumed in range(20):
        try:
            if resumed:
                resume_training(folder, cache=cache, workers=workers)
            else:
                train(CONFIG, folder, cache=cache, workers=workers)
        except EvaluationError as error:
            print(f"{error}; resumed", flush=True)
        else:
            return resumed
    raise EvaluationError("the run was resumed 20 times and has not ended")


@contextmanager
def killed_now_and_then() -> Iterator[Killer]:
    """Kill workers in the background inside the block."""
    killer = Killer()
    thread = threading.Thread(target=killer.work)
    thread.start()
    try:
        yield killer
    finally:
        killer.ended.set()
        thread.join()


def workers_of(process: int) -> list[int]:
    """Return the processes of Ray actors that descend from a process, from /proc."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
    family = {process}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sorted(child for child in family if _is_worker(child))


def _is_worker(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"ray::_Worker")
    except OSError:
        return False


def evaluations(run: Path) -> list[Any]:
    """Return the evaluations of a run in their order, without their seconds."""
    with closing(EvaluationStore(run / "evaluations.sqlite", read_only=True)) as store:
        (evaluator,) = store.evaluators()
        return [replace(evaluation, seconds=0.0) for evaluation in store.evaluations(evaluator).values()]


def networks(run: Path) -> dict[str, bytes]:
    """Return the files of a run's fine-tuned networks."""
    return {str(path.relative_to(run)): path.read_bytes() for path in (run / "finalists").rglob("*") if path.is_file()}


def table(run: Path) -> bytes:
    """Return the final table of a run."""
    return (run / "allocations.csv").read_bytes()
