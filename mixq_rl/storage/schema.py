"""Dataclasses from plain values of JSON or SQLite, checked against the types of their fields."""

import dataclasses
import math
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mixq_rl.errors import ArtifactError
from mixq_rl.storage.reading import read_json

__all__ = ["from_plain", "read_document"]

_LONGEST = 200
T = TypeVar("T")


def from_plain(data: object, kind: type[T]) -> T:
    """Return a dataclass from plain values, checked against the types of its fields and by its constructor.

    Args:
        data: dictionaries, lists and plain values.
        kind: the dataclass, or a list of it. Fields with a default may be missing.

    Raises:
        ArtifactError: for a missing or unknown field, a value of another type or one that the constructor refuses, or a
            number that is not finite. The message names the place: ``$.bits[0]``.
    """
    try:
        made = msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise _error(str(error)) from error
    except UnicodeError as error:
        raise _error("a name holds what is no text") from error
    _check(data, made, "$")
    return made


def read_document(path: Path, kind: str, version: int) -> dict[str, Any]:
    """Return the fields of a JSON file that begins with its format and its version, without these two.

    Raises:
        ArtifactError: if the file is missing, damaged, or of another format or version.
    """
    try:
        content = read_json(path)
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing") from error
    except ArtifactError:
        raise
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict) or content.pop("format", None) != kind:
        raise ArtifactError(f"{path} is no {kind}")
    found = content.pop("version", None)
    if found != version:
        raise ArtifactError(f"{path} has format version {found!r}; this version of mixq_rl reads {version}")
    return content


def _check(data: object, made: object, place: str) -> None:
    """Check what msgspec does not: that fields are known, and numbers finite."""
    if isinstance(data, float) and not math.isfinite(data):
        raise _error(f"{data} is no finite number - at `{place}`")
    if isinstance(data, list | tuple):
        parts = made if isinstance(made, list | tuple) else ()
        if len(parts) != len(data):  # a constructor may drop repeated entries
            parts = (None,) * len(data)
        for index, (item, part) in enumerate(zip(data, parts, strict=True)):
            _check(item, part, f"{place}[{index}]")
    if isinstance(data, dict):
        known = dataclasses.fields(made) if dataclasses.is_dataclass(made) else None
        parts_by_name = {field.name: getattr(made, field.name) for field in known} if known is not None else {}
        for name, value in data.items():
            if known is not None and name not in parts_by_name:
                raise _error(f"unknown field {name!r} - at `{place}`")
            _check(value, parts_by_name.get(name), f"{place}.{name}")


def _error(text: str) -> ArtifactError:
    return ArtifactError(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")
