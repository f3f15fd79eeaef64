"""Run folder with its configuration, locked by one process at a time."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from filelock import FileLock, Timeout

from mixq_rl.agents.records.run_document import CONFIG, OTHER_FOLDER, check_same, new_document, read_document
from mixq_rl.errors import ArtifactError, InputError
from mixq_rl.printable import shell_word
from mixq_rl.storage.files import replace_file, sweep_drafts
from mixq_rl.storage.reading import check_tree
from mixq_rl.storage.schema import from_plain

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["LABEL", "FolderInUseError", "RunFolder", "finalist_path", "locked"]

T = TypeVar("T")

_LOCK = ".lock"
_PATIENCE = 0.2  # seconds: in_use locks a folder for a moment only
LABEL = re.compile(r"(agent|uniform) [0-9]+")
"""Label of an integer network in the final table."""


class FolderInUseError(InputError):
    """Another process has locked the run folder."""


class RunFolder:
    """Run folder, locked by this process until :meth:`close` or the end of a ``with`` block.

    :meth:`create` and :meth:`open` lock the folder; :meth:`read` does not, and works for a folder in use.

    Attributes:
        path: path of the folder.
        kind: kind of the run: ``"run"``, ``"policy"`` or ``"search"``.
        config: configuration of the run, in plain values.
        document: content of ``config.json``.
    """

    def __init__(self, path: Path, document: Mapping[str, Any], lock: FileLock | None = None) -> None:
        self.path = path
        self.document = dict(document)
        self.kind = str(document["format"]).removeprefix("mixq_rl/")
        self.config: dict[str, Any] = dict(document["config"])
        self._lock = lock

    @classmethod
    def create(
        cls, path: Path, kind: str, config: "DataclassInstance", *, notes: Sequence[str] = (), shared: bool = False
    ) -> Self:
        """Create and lock a run folder, and write ``config.json``.

        Args:
            path: path of a new or empty folder.
            kind: kind of the run.
            config: configuration of the run.
            notes: what was done to the user's data, a line each.
            shared: whether the folder may hold a run of the same kind and configuration, which is then opened.

        Raises:
            InputError: if the folder is in use, is not empty, or cannot be written.
        """
        document = new_document(kind, config, notes)
        if path.exists() and not path.is_dir():
            raise InputError(f"run folder {str(path)!r} is a file: {OTHER_FOLDER}")
        _check_tree(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(path, error) from error
        lock = locked(path)
        try:
            if shared and (path / CONFIG).exists():
                found = read_document(path)
                check_same(path, found, document)
                return cls(path, found, lock)
            taken = next((entry.name for entry in sorted(path.iterdir()) if not entry.name.startswith(".")), None)
            if taken is not None:
                raise InputError(f"run folder {str(path)!r} holds {taken!r}: {OTHER_FOLDER}{_way_on(path)}")
            replace_file(path / CONFIG, json.dumps(document, indent=2) + "\n")
        except OSError as error:
            lock.release()
            raise _unwritable(path, error) from error
        except BaseException:
            lock.release()
            raise
        return cls(path, document, lock)

    @classmethod
    def open(cls, path: Path, kind: str) -> Self:
        """Lock the folder of a run that is to be resumed, and remove incomplete files of a killed process.

        Args:
            path: path of the folder.
            kind: expected kind of the run.

        Raises:
            InputError: if it is not a folder of such a run, is in use, cannot be written, or holds links.
            ArtifactError: for another format version.
        """
        folder = cls.read(path)
        if folder.kind != kind:
            raise InputError(f"run folder {str(path)!r} is of a {folder.kind!r}, not of a {kind!r}")
        folder._lock = locked(path)
        for place in (path, folder.checkpoints, folder.finalists):
            sweep_drafts(place)
        return folder

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a folder without locking it.

        Raises:
            InputError: if it is not a run folder.
            ArtifactError: for another format version, or a folder that holds links, named pipes or devices.
        """
        document = read_document(path)
        _check_tree(path)
        return cls(path, document)

    def restore(self, of: type[T]) -> T:
        """Return the run's configuration as an object.

        Args:
            of: dataclass of the configuration.

        Raises:
            ArtifactError: if the fields are not those of the dataclass.
        """
        try:
            return from_plain(self.config, of)
        except ArtifactError as error:
            raise ArtifactError(f"{str(self.path / CONFIG)!r} is not what this version writes: {error}") from error

    @property
    def directory(self) -> Path:
        """Working directory in which the run began, from which its relative paths are resolved."""
        return Path(self.document["directory"])

    @property
    def evaluations(self) -> Path:
        """The store of all evaluations, SQLite."""
        return self.path / "evaluations.sqlite"

    @property
    def checkpoints(self) -> Path:
        """The checkpoints of an unfinished search."""
        return self.path / "checkpoints"

    @property
    def finalists(self) -> Path:
        """The fine-tuned integer networks of the final table."""
        return self.path / "finalists"

    @property
    def policy(self) -> Path:
        """The agent's policy."""
        return self.path / "policy"

    @property
    def model(self) -> Path:
        """The best integer network."""
        return self.path / "model"

    @property
    def result(self) -> Path:
        """The result of the run, which exists only if the run has ended."""
        return self.path / "result.json"

    @property
    def report(self) -> Path:
        """The report, an HTML page."""
        return self.path / "report.html"

    @property
    def log(self) -> Path:
        """The log, in lines with times."""
        return self.path / "log.txt"

    @property
    def in_use(self) -> bool:
        """Whether a process has locked the folder."""
        if self._lock is not None:
            return True
        try:
            locked(self.path).release()
        except FolderInUseError:
            return True
        except InputError:  # a folder that cannot be written cannot be locked
            return False
        return False

    def close(self) -> None:
        """Unlock the folder."""
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def finalist_path(folder: Path, label: str) -> Path:
    """Return the folder of a network of the final table: ``agent-3`` for the label ``"agent 3"``.

    Raises:
        ArtifactError: for an invalid label, so that a damaged result cannot name a path outside the folder.
    """
    if not LABEL.fullmatch(label):
        raise ArtifactError(f"{label!r} is no row of a final table")
    return folder / label.replace(" ", "-")


def locked(path: Path) -> FileLock:
    """Lock a folder until the lock is released or this process ends.

    Raises:
        InputError: if another process has locked the folder, or it cannot be written.
    """
    lock = FileLock(path / _LOCK, fallback_to_soft=False, preserve_lock_file=True)
    try:
        lock.acquire(timeout=_PATIENCE, poll_interval=_PATIENCE / 10)
    except Timeout as error:
        raise FolderInUseError(
            f"run folder {str(path)!r} is being used by another process: wait for it to end, or name another folder"
        ) from error
    except OSError as error:
        raise _unwritable(path, error) from error
    return lock


def _check_tree(path: Path) -> None:
    try:
        check_tree(path)
    except FileNotFoundError:  # a folder that does not exist yet
        pass
    except OSError as error:
        raise InputError(f"run folder {str(path)!r} cannot be read: {error.strerror or error}") from error


def _way_on(path: Path) -> str:
    """Return the command that resumes the run in a folder, as an end of an error message; empty if it has none."""
    try:
        known = RunFolder.read(path).kind != "search"
    except InputError:
        known = False
    return f", or resume it: mixq-rl train --resume {shell_word(path)}" if known else ""


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"run folder {str(path)!r} cannot be written: {error.strerror or error}")
