"""Option ``--config``, which reads options from a file."""

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer

from mixq_rl.agents.records.evaluator_config import RECORDED
from mixq_rl.errors import ArtifactError, InputError
from mixq_rl.storage.reading import read_json

__all__ = ["defaults_of", "read_config", "read_document", "suggestion"]

_NOT_IN_FILES = ("config", "resume", "run_dir", "cache", "ray_address")


def read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Set the defaults of the command's options to the values in a file. Callback of the option ``--config``.

    The file holds a JSON object with options by name, with ``_`` for ``-``. The object may be the value of ``"config"``
    in another object, as in ``config.json`` of a run folder. A file does not name folders that are written.

    Raises:
        InputError: if the file cannot be read, or names an option that the command does not have or that files must not
            name.
    """
    if path is None:
        return None
    source = f"configuration {str(path)!r}"
    document = read_document(path, source)
    config = document.get("config", document) if isinstance(document, dict) else None
    if not isinstance(config, dict):
        raise InputError(f"{source} is not a JSON object of options")
    if "tasks" in config:
        raise InputError(f"{source} is of a run on several tasks: name them by options")
    context.default_map = {**(context.default_map or {}), **defaults_of(context.command, config, source)}
    return path


def read_document(path: Path, source: str) -> Any:
    """Return the content of a JSON file that the user named.

    Args:
        path: path of the file.
        source: what it is in messages, with its name.

    Raises:
        InputError: if the file cannot be read.
    """
    try:
        return read_json(path, follow=True)
    except ArtifactError as error:
        raise InputError(f"{source.partition(' ')[0]} {error}") from error
    except OSError as error:
        raise InputError(f"{source} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{source} is not JSON: {error}") from error


def defaults_of(command: Any, config: Mapping[str, Any], source: str, *, only: Collection[str] = ()) -> dict[str, Any]:
    """Return the defaults of a command's options, by parameter, that an object of options in a file stands for.

    Args:
        command: the command, as Typer made it.
        config: options by name, with ``_`` for ``-``.
        source: the file in messages.
        only: parameters that the file may name; empty: all.

    Raises:
        InputError: for an option that the command does not have or that files must not name.
    """
    known = {
        name.removeprefix("--").replace("-", "_"): parameter
        for parameter in command.params
        for name in parameter.opts
        if not only or parameter.name in only
    }
    defaults: dict[str, Any] = {}
    for name, value in config.items():
        if value is None or name in RECORDED or (name, value) == ("policy", ""):  # that of the package
            continue
        if name in _NOT_IN_FILES:
            raise InputError(f"{source} names {name!r}: give --{name.replace('_', '-')} in the command")
        if name not in known:
            raise InputError(f"{source} names {name!r}, which {command.name} does not know{suggestion(name, known)}")
        defaults[str(known[name].name)] = _as_typed(known[name], value)
    return defaults


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the nearest known name as the end of a message; empty if there is none."""
    nearest = get_close_matches(name, list(known), n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


def _as_typed(option: Any, value: Any) -> Any:
    """Return a value of a file in the form of the command line: ``"2,4"`` for ``[2, 4]`` if the option is text."""
    several = bool(getattr(option, "multiple", False))
    default = option.default[0] if several and option.default else option.default
    numbers = isinstance(value, list) and all(isinstance(item, int) for item in value)
    if numbers and isinstance(default, str):
        value = ",".join(str(item) for item in value)
    return [value] if several and not isinstance(value, list) else value
