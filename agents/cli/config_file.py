"""Options from a file."""

import json
from pathlib import Path
from typing import Any

import typer

from mixq_rl.errors import InputError

__all__ = ["read_config"]

_NAMES = {"num_layers": "layers", "json": "as_json"}


def read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Make what a file says the defaults of the command's options; a callback of the option ``--config``.

    The file holds a JSON object of options by name, with ``_`` for ``-``, or one that has it under ``"config"``, as
    ``config.json`` of a run folder.

    Raises:
        InputError: if it cannot be read, or names an option that the command does not have.
    """
    if path is None:
        return None
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"configuration {str(path)!r} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"configuration {str(path)!r} is not JSON: {error}") from error
    config = document.get("config", document) if isinstance(document, dict) else None
    if not isinstance(config, dict):
        raise InputError(f"configuration {str(path)!r} is not a JSON object of options")
    if "tasks" in config:
        raise InputError(f"configuration {str(path)!r} is of a run on several tasks: name them by options")
    known = {str(parameter.name): parameter for parameter in context.command.params}
    defaults: dict[str, Any] = {}
    for given, value in config.items():
        name = _NAMES.get(given, given)
        if value is None:
            continue
        if given == "policy" and name not in known:
            raise InputError(f"configuration {str(path)!r} is of mixq-rl transfer, which begins with a policy")
        if name not in known:
            raise InputError(f"configuration {str(path)!r} names {given!r}, which {context.info_name} does not know")
        if name == "bits" and isinstance(value, list) and all(isinstance(item, int) for item in value):
            value = ",".join(str(width) for width in value)  # one set of bit-widths, as config.json has it
        several = bool(getattr(known[name], "multiple", False))
        defaults[name] = [value] if several and not isinstance(value, list) else value
    context.default_map = {**(context.default_map or {}), **defaults}
    return path
