"""Index of the runs in a folder, with their states and results."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.result import RunResult
from mixq_rl.errors import InputError
from mixq_rl.storage.reading import entries_below

__all__ = ["IndexedRun", "index_runs"]


@dataclass(frozen=True)
class IndexedRun:
    """A run with its state and result.

    Attributes:
        folder: run folder, not locked.
        state: ``"finished"``, ``"running"`` or ``"stopped"``.
        result: result of a finished run of ``mixq-rl train`` or ``transfer`` on one dataset; None for any other run.
    """

    folder: RunFolder
    state: str
    result: RunResult | None

    def document(self) -> dict[str, Any]:
        """Return state and result in plain values."""
        found: dict[str, Any] = {"run_dir": str(self.folder.path), "kind": self.folder.kind, "state": self.state}
        if self.result is not None:
            best = self.result.best
            found |= {
                "title": self.result.title,
                "best": best.label,
                "allocation": list(best.evaluation.allocation),
                "metric": self.result.metric.name,
                "validation_accuracy": best.evaluation.accuracy,
                "test_accuracy": best.test_accuracy,
                "reduction": best.evaluation.reduction,
                "hypervolume": self.result.hypervolume,
                "evaluations": self.result.evaluations,
            }
        return found


def index_runs(path: Path, skip: Callable[[str], object] = lambda reason: None) -> list[IndexedRun]:
    """Return the runs in a folder and its subfolders, sorted by path. The folder may itself be a run folder.

    Args:
        path: path of the folder.
        skip: called with the reason for each ``config.json`` that is left out: damaged, of another format version, or
            not of a run.

    Raises:
        InputError: if the folder does not exist.
    """
    if not path.is_dir():
        raise InputError(f"{str(path)!r} is no folder of runs: name one, or begin a run with mixq-rl train")
    return sorted(_found(path, skip), key=lambda run: run.folder.path)


def _found(path: Path, skip: Callable[[str], object]) -> Iterator[IndexedRun]:
    files = entries_below(path, lambda error: skip(f"{error.filename}: {error.strerror}"))
    for config_file in (file for file in files if file.name == "config.json"):
        try:
            folder = RunFolder.read(config_file.parent)
            finished = folder.result.exists()
            result = RunResult.load(folder.result) if finished and folder.kind == "run" else None
        except InputError as error:
            skip(str(error))
            continue
        running = not finished and folder.in_use
        yield IndexedRun(folder, "finished" if finished else "running" if running else "stopped", result)
