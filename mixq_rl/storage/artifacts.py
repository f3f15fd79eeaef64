"""Storage of frozen dataclasses of tensors and plain values as safetensors and JSON, without code.

Only classes marked :func:`storable` are constructed from a file, and only from fields of the declared types. A field
whose declared class is not storable itself accepts the storable subclasses of that class. An artifact holds a checksum
of its tensors and its JSON.
"""

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mixq_rl.errors import ArtifactError
from mixq_rl.storage.limits import FILE, Limit
from mixq_rl.storage.reading import read_json, read_regular

__all__ = ["load_artifact", "pack", "save_artifact", "storable", "unpack"]

_PLAIN = (bool, int, float, str)
_CHECKSUM = "sha256"
_storable: dict[str, type] = {}
_T = TypeVar("_T", bound=type)


def storable(cls: _T) -> _T:
    """Register a dataclass by its name, so that artifacts may contain it, and return it.

    Raises:
        TypeError: for a class that is not a dataclass, or that has the name of a registered class of another module.
    """
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"{cls.__name__} is not a dataclass: put @storable above @dataclass(frozen=True)")
    known = _storable.setdefault(cls.__name__, cls)
    if known.__module__ != cls.__module__ and "__main__" not in (known.__module__, cls.__module__):
        raise TypeError(
            f"artifacts know a class {cls.__name__} of {known.__module__}: give that of {cls.__module__} another name"
        )
    _storable[cls.__name__] = cls
    return cls


def pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return ``value`` as JSON data; its tensors go into ``tensors`` under dotted names that begin with ``name``.

    Raises:
        TypeError: for a value that is neither plain, a tensor, a tuple, nor a storable dataclass.
    """
    if value is None or isinstance(value, _PLAIN):
        return value
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous().clone()  # safetensors refuses tensors that share memory
        return {"tensor": name}
    if isinstance(value, tuple):
        return [pack(item, f"{name}.{index}", tensors) for index, item in enumerate(value)]
    if type(value).__name__ in _storable:
        fields = {
            field.name: pack(getattr(value, field.name), f"{name}.{field.name}", tensors)
            for field in dataclasses.fields(value)
        }
        return {"type": type(value).__name__, **fields}
    raise TypeError(f"{name}: {type(value).__name__} cannot be stored")


def unpack(data: Any, expected: Any, name: str, tensors: Mapping[str, Tensor]) -> Any:
    """Rebuild the value that :func:`pack` stored, and check it against the declared type ``expected``.

    Raises:
        ArtifactError: for a missing field or a field of another type; the message names the field.
    """
    options = typing.get_args(expected) if isinstance(expected, types.UnionType) else (expected,)
    if data is None and type(None) in options:
        return None
    options = tuple(option for option in options if option is not type(None))
    expected = options[0]
    if len(options) > 1:  # the file names one of the classes
        kind = data.get("type") if isinstance(data, dict) else None
        expected = next((option for option in options if option.__name__ == kind), expected)
    if expected is Tensor:
        if not isinstance(data, dict) or str(data.get("tensor")) not in tensors:
            raise ArtifactError(f"{name}: tensor missing")
        return tensors[str(data["tensor"])]
    if typing.get_origin(expected) is tuple:
        if not isinstance(data, list):
            raise ArtifactError(f"{name}: a list is missing")
        item, *rest = typing.get_args(expected)
        if rest != [...] and len(data) != 1 + len(rest):
            raise ArtifactError(f"{name}: {len(data)} entries where {1 + len(rest)} belong")
        return tuple(unpack(entry, item, f"{name}.{index}", tensors) for index, entry in enumerate(data))
    if expected in _PLAIN:
        if type(data) is not expected:
            raise ArtifactError(f"{name}: {data!r} is not of type {expected.__name__}")
        return data
    return _unpack_object(data, expected, name, tensors)


def _unpack_object(data: Any, expected: Any, name: str, tensors: Mapping[str, Tensor]) -> Any:
    kind = data.get("type") if isinstance(data, dict) else None
    cls = _storable.get(str(kind))
    if cls is None or not _is_accepted(cls, expected):
        raise ArtifactError(f"{name}: {kind!r} is not {expected.__name__}")
    hints = typing.get_type_hints(cls)
    arguments = {}
    for field in dataclasses.fields(cls):
        if field.name not in data:
            raise ArtifactError(f"{name}.{field.name}: missing")
        arguments[field.name] = unpack(data[field.name], hints[field.name], f"{name}.{field.name}", tensors)
    try:
        return cls(**arguments)
    except (TypeError, ValueError, OverflowError) as error:
        raise ArtifactError(f"{name}: {error}") from error


def _is_accepted(cls: type, declared: type) -> bool:
    """Return whether a field that declares the class ``declared`` accepts the storable class ``cls``."""
    return cls is declared or (declared not in _storable.values() and issubclass(cls, declared))


def save_artifact(
    path: Path, kind: str, version: int, config: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write ``kind.safetensors`` and ``kind.json`` into the folder ``path``, creating it.

    Raises:
        OSError: if the files cannot be written.
        ValueError: for NaN or infinity in ``config``.
    """
    path.mkdir(parents=True, exist_ok=True)
    content = save(dict(tensors))
    # Not by safetensors' save_file, whose files only the owner may read.
    (path / f"{kind}.safetensors").write_bytes(content)
    document = {"format": f"mixq_rl/{kind}", "version": version, **config}
    document[_CHECKSUM] = _checksum(document, content)
    (path / f"{kind}.json").write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")


def load_artifact(
    path: Path, kind: str, *versions: int, limit: Limit = FILE
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the config and the tensors that :func:`save_artifact` wrote, after a check against their checksum.

    The checksum finds damage. It does not prove who wrote the artifact.

    Args:
        path: folder of the artifact.
        kind: kind of the artifact, as in :func:`save_artifact`.
        versions: format versions that the caller reads.
        limit: limit on the size of the tensors' file.

    Raises:
        ArtifactError: if a file is missing, damaged, too large, of another kind, or of another format version.
    """
    config_file, tensor_file = path / f"{kind}.json", path / f"{kind}.safetensors"
    try:
        config = read_json(config_file, follow=True)
        content = read_regular(tensor_file, limit, follow=True)
    except ArtifactError:
        raise
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} holds no {kind}: {error.filename} is missing") from error
    except (ValueError, OSError) as error:
        raise ArtifactError(f"{path} holds a damaged {kind}: {error}") from error
    if not isinstance(config, dict) or config.get("format") != f"mixq_rl/{kind}":
        raise ArtifactError(f"{config_file} is not a mixq_rl {kind}")
    if config.get("version") not in versions:
        raise ArtifactError(
            f"{config_file} has format version {config.get('version')!r}; "
            f"this version of mixq_rl reads {' and '.join(map(str, versions))}"
        )
    if config.pop(_CHECKSUM, None) != _checksum(config, content):
        raise ArtifactError(f"{path} holds a damaged {kind}: its files are not as they were written")
    try:
        tensors: dict[str, torch.Tensor] = load(content)
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise ArtifactError(f"{path} holds a damaged {kind}: {error}") from error
    return config, tensors


def _checksum(document: Mapping[str, Any], tensors: bytes) -> str:
    """Return the SHA-256 of a document and of the content of the tensors' file."""
    digest = hashlib.sha256(json.dumps(document, sort_keys=True, allow_nan=False).encode())
    digest.update(tensors)
    return digest.hexdigest()
