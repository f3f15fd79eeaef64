"""Option ``--config``, which reads options from a file."""

from pathlib import Path
from typing import Any

import typer

from mixq_rl.agents.records.evaluator_config import RECORDED
from mixq_rl.errors import ArtifactError, InputError
from mixq_rl.storage.reading import read_json

__all__ = ["read_config"]

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
    try:
        document = read_json(path, follow=True)
    except ArtifactError as error:
        raise InputError(f"configuration {error}") from error
    except OSError as error:
        raise InputError(f"configuration {str(path)!r} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"configuration {str(path)!r} is not JSON: {error}") from error
    config = document.get("config", document) if isinstance(document, dict) else None
    if not isinstance(config, dict):
        raise InputError(f"configuration {str(path)!r} is not a JSON object of options")
    if "tasks" in config:
        raise InputError(f"configuration {str(path)!r} is of a run on several tasks: name them by options")
    known = {
        name.removeprefix("--").replace("-", "_"): parameter
        for parameter in context.command.params
        for name in parameter.opts
    }
    defaults: dict[str, Any] = {}
    for name, value in config.items():
        if value is None or name in RECORDED or (name, value) == ("policy", ""):  # that of the package
            continue
        if name in _NOT_IN_FILES:
            raise InputError(
                f"configuration {str(path)!r} names {name!r}: give --{name.replace('_', '-')} in the command"
            )
        if name not in known:
            raise InputError(f"configuration {str(path)!r} names {name!r}, which {context.info_name} does not know")
        defaults[str(known[name].name)] = _as_typed(known[name], value)
    context.default_map = {**(context.default_map or {}), **defaults}
    return path


def _as_typed(option: Any, value: Any) -> Any:
    """Return a value of a file in the form of the command line: ``"2,4"`` for ``[2, 4]`` if the option is text."""
    several = bool(getattr(option, "multiple", False))
    default = option.default[0] if several and option.default else option.default
    numbers = isinstance(value, list) and all(isinstance(item, int) for item in value)
    if numbers and isinstance(default, str):
        value = ",".join(str(item) for item in value)
    return [value] if several and not isinstance(value, list) else value
