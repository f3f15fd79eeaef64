"""Folder of a study, and the run folders in it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from filelock import FileLock

from mixq_rl.agents.records.folder import RunFolder, locked
from mixq_rl.agents.records.run_config import RunConfig
from mixq_rl.agents.records.run_document import CONFIG, OTHER_FOLDER, check_same
from mixq_rl.errors import InputError
from mixq_rl.storage.files import replace_file, sweep_drafts
from mixq_rl.storage.schema import read_document

__all__ = ["STUDY", "StudyFolder", "StudyRun", "run_folders"]

STUDY = "study.json"
"""Name of the file with the results of a study."""

_FORMAT, _VERSION = "mixq_rl/study", 1


@dataclass(frozen=True)
class StudyRun:
    """One run of a study.

    Attributes:
        name: name of its run folder.
        config: its configuration.
    """

    name: str
    config: RunConfig


class StudyFolder:
    """Folder of a study, locked by this process until :meth:`close` or the end of a ``with`` block.

    Attributes:
        path: path of the folder.
    """

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def open(cls, path: Path, runs: Sequence[StudyRun]) -> Self:
        """Create or open the folder of a study, and lock it.

        Args:
            path: path of a new or empty folder, or of the folder of a study.
            runs: runs of the study. Those that the folder holds must have the same configuration.

        Raises:
            InputError: if the folder is in use, holds anything else or a run of another configuration, or cannot be
                written.
        """
        if path.exists() and not path.is_dir():
            raise InputError(f"study folder {str(path)!r} is a file: {OTHER_FOLDER}")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"study folder {str(path)!r} cannot be written: {error.strerror or error}") from error
        folder = cls(path, locked(path))
        try:
            folder._check(runs)
        except BaseException:
            folder.close()
            raise
        sweep_drafts(path)
        return folder

    def of(self, run: StudyRun) -> Path:
        """Return the path of a run's folder."""
        return self.path / run.name

    def ended(self, run: StudyRun) -> bool:
        """Return whether a run has ended."""
        folder = self.of(run)
        return (folder / CONFIG).exists() and RunFolder.read(folder).result.exists()

    def write(self, document: Mapping[str, Any]) -> None:
        """Write the results as ``study.json``, atomically.

        Raises:
            OSError: if the file cannot be written.
        """
        content = {"format": _FORMAT, "version": _VERSION, **document}
        replace_file(self.path / STUDY, json.dumps(content, indent=2, allow_nan=False) + "\n")

    def close(self) -> None:
        """Unlock the folder."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def _check(self, runs: Sequence[StudyRun]) -> None:
        if (self.path / STUDY).exists():
            read_document(self.path / STUDY, _FORMAT, _VERSION)
        else:
            taken = next((entry.name for entry in sorted(self.path.iterdir()) if not entry.name.startswith(".")), None)
            if taken is not None:
                raise InputError(f"study folder {str(self.path)!r} holds {taken!r}: {OTHER_FOLDER}")
        for run in runs:
            folder = self.of(run)
            if (folder / CONFIG).exists():
                config = json.loads(json.dumps(asdict(run.config.pinned())))
                check_same(folder, RunFolder.read(folder).document, {"format": "mixq_rl/run", "config": config})


def run_folders(path: Path) -> list[Path]:
    """Return the run folders of a study that have evaluations; of any other folder the folder itself.

    Raises:
        InputError: if no run of the study has begun to search.
    """
    if not (path / STUDY).is_file():
        return [path]
    found = [folder for folder in sorted(path.iterdir()) if (folder / CONFIG).is_file()]
    searched = [folder for folder in found if RunFolder.read(folder).evaluations.is_file()]
    if not searched:
        raise InputError(f"no run of the study in {str(path)!r} has begun to search")
    return searched
