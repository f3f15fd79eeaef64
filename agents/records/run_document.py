"""Document of a run, ``config.json``: its format, the configuration, versions and machine."""

import errno
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixq_rl.errors import ArtifactError, InputError
from mixq_rl.machine import describe_machine, git_commit, package_versions
from mixq_rl.storage.reading import read_json
from mixq_rl.storage.schema import from_plain

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["CONFIG", "OTHER_FOLDER", "check_same", "new_document", "read_document"]

CONFIG = "config.json"
OTHER_FOLDER = "name a new or empty folder with --run-dir"

_VERSION = 8
_KINDS = ("run", "policy", "search")
_CONTENTS = ("model_sha256", "weights_sha256")


@dataclass(frozen=True)
class _Document:
    """Content of ``config.json``."""

    format: str
    version: int
    config: dict[str, Any]
    notes: tuple[str, ...]
    directory: str
    packages: dict[str, str | None]
    commit: str | None
    hardware: dict[str, str | int | None]


def new_document(kind: str, config: "DataclassInstance", notes: Sequence[str] = ()) -> dict[str, Any]:
    """Return the document of a run that begins now in the present folder.

    Args:
        kind: kind of the run.
        config: configuration of the run.
        notes: what was done to the user's data, a line each.
    """
    return {
        "format": f"mixq_rl/{kind}",
        "version": _VERSION,
        "config": json.loads(json.dumps(asdict(config))),
        "notes": list(notes),
        "directory": str(Path.cwd()),
        "packages": package_versions(),
        "commit": git_commit(),
        "hardware": describe_machine(),
    }


def read_document(path: Path) -> dict[str, Any]:
    """Return the document of the run in a folder.

    Raises:
        InputError: if the folder holds no run.
        ArtifactError: for another format version, or a damaged document.
    """
    config_file = path / CONFIG
    try:
        plain = read_json(config_file)
    except OSError as error:
        reason = "is missing" if error.errno in (errno.ENOENT, errno.ENOTDIR) else f"cannot be read: {error.strerror}"
        raise InputError(f"{str(path)!r} is no run folder: {str(config_file)!r} {reason}") from error
    except ArtifactError:
        raise
    except ValueError as error:
        raise InputError(f"{str(config_file)!r} is not of a run: name another folder") from error
    kind, number = (plain.get("format"), plain.get("version")) if isinstance(plain, dict) else (None, None)
    if kind not in [f"mixq_rl/{known}" for known in _KINDS] or type(number) is not int:
        raise InputError(f"{str(config_file)!r} is not of a run: name another folder")
    if number != _VERSION:
        age = "a newer" if number > _VERSION else "an older"
        raise ArtifactError(
            f"run folder {str(path)!r} was written by {age} mixq_rl: it has format version {number}, this one reads "
            f"{_VERSION}"
        )
    try:
        from_plain(plain, _Document)
    except ArtifactError as error:
        raise ArtifactError(f"{str(config_file)!r} is damaged: {error}") from error
    return dict(plain)


def check_same(path: Path, found: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    """Check that a folder holds a run of the kind and the configuration of a new document.

    Raises:
        InputError: naming what differs.
    """
    if found["format"] != document["format"]:
        raise InputError(f"run folder {str(path)!r} is of a {found['format']!r}: {OTHER_FOLDER}")
    for name, value in document["config"].items():
        # Another folder of the datasets' files does not change the run.
        if name != "data_root" and found["config"].get(name) != value:
            if name in _CONTENTS:
                file = document["config"][name.removesuffix("_sha256")]
                raise InputError(f"run folder {str(path)!r} is of another content of {file!r}: {OTHER_FOLDER}")
            raise InputError(
                f"run folder {str(path)!r} has {name} {found['config'].get(name)!r}, not {value!r}: {OTHER_FOLDER}"
            )
