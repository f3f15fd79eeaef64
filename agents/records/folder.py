"""The folder of a run: what it holds says what it is of, and one process at a time has it."""

import errno
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from filelock import FileLock, Timeout

from mixq_rl.errors import ArtifactError, InputError
from mixq_rl.machine import describe_machine, git_commit, package_versions
from mixq_rl.storage.files import replace_file, sweep_drafts

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["FolderInUseError", "RunFolder", "finalist_path"]

T = TypeVar("T")

_VERSION = 5
_KINDS = ("run", "policy", "search")
_CONFIG, _LOCK = "config.json", ".lock"
_PATIENCE = 0.2  # seconds: whoever only looks whether a folder is in use lets go of it at once
_LABEL = re.compile(r"(agent|uniform) [0-9]+")
_OTHER = "name a new or empty folder with --run-dir"


class FolderInUseError(InputError):
    """Another process has the folder."""


class RunFolder:
    """A run folder, held by this process until :meth:`close`, or the end of a ``with`` block.

    Made by :meth:`create` and :meth:`open`; :meth:`read` looks into one that may be in use.

    Attributes:
        path: of the folder.
        kind: of run: ``"run"``, ``"policy"`` or ``"search"``.
        config: of the run, as JSON has it.
        document: all that ``config.json`` holds.
    """

    def __init__(self, path: Path, document: Mapping[str, Any], lock: FileLock | None = None) -> None:
        self.path = path
        self.document = dict(document)
        self.kind = str(document["format"]).removeprefix("mixq_rl/")
        self.config: dict[str, Any] = dict(document["config"])
        self._lock = lock

    @classmethod
    def create(cls, path: Path, kind: str, config: "DataclassInstance", *, shared: bool = False) -> Self:
        """Make a new or empty folder this run's by writing ``config.json``.

        Args:
            path: is created.
            kind: of run.
            config: of the run.
            shared: whether a folder that holds a run of the same kind and configuration is taken as it is.

        Raises:
            InputError: if the folder is in use, holds something else, or cannot be written.
        """
        document = {
            "format": f"mixq_rl/{kind}",
            "version": _VERSION,
            "config": json.loads(json.dumps(asdict(config))),
            "directory": str(Path.cwd()),
            "packages": package_versions(),
            "commit": git_commit(),
            "hardware": describe_machine(),
        }
        if path.exists() and not path.is_dir():
            raise InputError(f"run folder {str(path)!r} is a file: {_OTHER}")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(path, error) from error
        lock = _locked(path)
        try:
            if shared and (path / _CONFIG).exists():
                found = _document(path)
                _check_same(path, found, document)
                return cls(path, found, lock)
            taken = next((entry.name for entry in sorted(path.iterdir()) if not entry.name.startswith(".")), None)
            if taken is not None:
                raise InputError(f"run folder {str(path)!r} holds {taken!r}: {_OTHER}{_way_on(path)}")
            replace_file(path / _CONFIG, json.dumps(document, indent=2) + "\n")
        except OSError as error:
            lock.release()
            raise _unwritable(path, error) from error
        except BaseException:
            lock.release()
            raise
        return cls(path, document, lock)

    @classmethod
    def open(cls, path: Path, kind: str) -> Self:
        """Take a folder that a run was begun in, to go on with it; what a killed process left half done is removed.

        Args:
            path: of the folder.
            kind: of run that it is to be.

        Raises:
            InputError: if it is no folder of such a run, is in use, or cannot be written.
            ArtifactError: for another format version.
        """
        document = _document(path)
        folder = cls(path, document)
        if folder.kind != kind:
            raise InputError(f"run folder {str(path)!r} is of a {folder.kind!r}, not of a {kind!r}")
        folder._lock = _locked(path)
        for place in (path, folder.checkpoints, folder.finalists):
            sweep_drafts(place)
        return folder

    @classmethod
    def read(cls, path: Path) -> Self:
        """Look into a folder, whoever has it.

        Raises:
            InputError: if it is no run folder.
            ArtifactError: for another format version.
        """
        return cls(path, _document(path))

    def restore(self, of: type[T]) -> T:
        """Return the run's configuration as an object.

        Args:
            of: the dataclass that it is one of.

        Raises:
            ArtifactError: if it is not what such a configuration holds.
        """
        try:
            return of(**self.config)
        except TypeError as error:
            raise ArtifactError(f"{str(self.path / _CONFIG)!r} is not what this version writes: {error}") from error

    @property
    def directory(self) -> Path:
        """Where the run was begun: what its relative paths lead from."""
        return Path(self.document.get("directory", "."))

    @property
    def evaluations(self) -> Path:
        """The store of all evaluations, SQLite."""
        return self.path / "evaluations.sqlite"

    @property
    def checkpoints(self) -> Path:
        """Where an unfinished search goes on from."""
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
        """What the run found; there only once it has ended."""
        return self.path / "result.json"

    @property
    def report(self) -> Path:
        """The page that shows what the run found."""
        return self.path / "report.html"

    @property
    def log(self) -> Path:
        """What happened when, in lines."""
        return self.path / "log.txt"

    @property
    def in_use(self) -> bool:
        """Whether a process has the folder."""
        if self._lock is not None:
            return True
        try:
            _locked(self.path).release()
        except FolderInUseError:
            return True
        except InputError:  # nobody writes where one cannot write
            return False
        return False

    def close(self) -> None:
        """Let another process have the folder."""
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def finalist_path(folder: Path, label: str) -> Path:
    """Return where the network of a row of the final table is kept: ``agent-3`` of ``"agent 3"``.

    Raises:
        ArtifactError: for what is no label, so that a damaged result leads nowhere else.
    """
    if not _LABEL.fullmatch(label):
        raise ArtifactError(f"{label!r} is no row of a final table")
    return folder / label.replace(" ", "-")


def _locked(path: Path) -> FileLock:
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


def _document(path: Path) -> dict[str, Any]:
    config_file = path / _CONFIG
    try:
        document = json.loads(config_file.read_text())
        kind, number = document["format"], document["version"]
        dict(document["config"])
    except OSError as error:
        reason = "is missing" if error.errno in (errno.ENOENT, errno.ENOTDIR) else f"cannot be read: {error.strerror}"
        raise InputError(f"{str(path)!r} is no run folder: {str(config_file)!r} {reason}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(config_file)!r} is not of a run: name another folder") from error
    if kind not in [f"mixq_rl/{known}" for known in _KINDS] or type(number) is not int:
        raise InputError(f"{str(config_file)!r} is of a {kind!r}, not of a run: name another folder")
    if number != _VERSION:
        age = "a newer" if number > _VERSION else "an older"
        raise ArtifactError(
            f"run folder {str(path)!r} was written by {age} mixq_rl: it has format version {number}, this one reads "
            f"{_VERSION}"
        )
    return dict(document)


def _way_on(path: Path) -> str:
    """Return how to go on with what was begun in a folder, if it can be gone on with by ``--resume``."""
    try:
        known = RunFolder.read(path).kind != "search"
    except InputError:
        known = False
    return f", or go on with it: mixq-rl train --resume {shlex.quote(str(path))}" if known else ""


def _check_same(path: Path, found: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    if found["format"] != document["format"]:
        raise InputError(f"run folder {str(path)!r} is of a {found['format']!r}: {_OTHER}")
    for name, value in document["config"].items():
        # Where the files of datasets lie makes no other run of it.
        if name != "data_root" and found["config"].get(name) != value:
            raise InputError(
                f"run folder {str(path)!r} has {name} {found['config'].get(name)!r}, not {value!r}: {_OTHER}"
            )


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"run folder {str(path)!r} cannot be written: {error.strerror or error}")
