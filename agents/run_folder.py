"""The folder of a run: what it holds says what it is of."""

import json
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixq_rl.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["EVALUATIONS", "claim"]

EVALUATIONS = "evaluations.sqlite"

_VERSION = 3
_PACKAGES = ("mixq-rl", "torch", "torch_geometric", "gymnasium", "stable-baselines3", "sb3-contrib", "numpy")


def claim(run_dir: Path, kind: str, config: "DataclassInstance", *, resumable: bool = False) -> None:
    """Make a folder this run's by writing ``config.json``.

    Args:
        run_dir: is created.
        kind: of run: ``"run"``, ``"search"`` or ``"policy"``.
        config: of the run.
        resumable: whether a folder that holds a run of the same kind and configuration is taken as it is.

    Raises:
        InputError: if the folder is in use, or cannot be written.
    """
    document = {
        "format": f"mixq_rl/{kind}",
        "version": _VERSION,
        "config": asdict(config),
        "packages": {name: version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        if resumable and (run_dir / "config.json").exists():
            _check_same(run_dir, json.loads(json.dumps(document)))
            return
        taken = next(run_dir.iterdir(), None)
        if taken is None:
            # Of two runs that come at once, one finds the file there.
            with (run_dir / "config.json").open("x") as file:
                file.write(json.dumps(document, indent=2) + "\n")
    except FileExistsError:
        taken = run_dir / "config.json" if run_dir.is_dir() else run_dir
    except OSError as error:
        raise InputError(f"run folder {str(run_dir)!r} cannot be written: {error.strerror}") from error
    if taken == run_dir:
        raise InputError(f"run folder {str(run_dir)!r} is a file: name a new or empty folder with --run-dir")
    if taken is not None:
        raise InputError(f"run folder {str(run_dir)!r} holds {taken.name!r}: name a new or empty one with --run-dir")


def _check_same(run_dir: Path, document: dict[str, Any]) -> None:
    try:
        found = json.loads((run_dir / "config.json").read_text())
        kind, config = found["format"], dict(found["config"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(run_dir / 'config.json')!r} is not of a run: name another folder") from error
    if kind != document["format"]:
        raise InputError(f"run folder {str(run_dir)!r} is of a {kind!r}: name a new or empty one with --run-dir")
    for name, value in document["config"].items():
        # Where the files of datasets lie makes no other run of it.
        if name != "data_root" and config.get(name) != value:
            raise InputError(
                f"run folder {str(run_dir)!r} has {name} {config.get(name)!r}, not {value!r}: name a new or empty one "
                "with --run-dir"
            )
