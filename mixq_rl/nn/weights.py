"""Weights of a float model from a file: safetensors, or a state dict of ``torch.save``."""

import difflib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from mixq_rl.datasets.inert import Named, Saved
from mixq_rl.datasets.memory_limit import ExcessError
from mixq_rl.datasets.messages import in_one_line, listed
from mixq_rl.datasets.tensor_files import TensorFile
from mixq_rl.errors import ArtifactError, InputError
from mixq_rl.printable import first_line, printable
from mixq_rl.storage.limits import FILE
from mixq_rl.storage.reading import open_regular

__all__ = ["load_weights", "read_weights", "weights_digest"]

_SAFETENSORS, _OF_TORCH = (".safetensors",), (".pt", ".pth", ".ckpt", ".bin")
_OUTER = ("state_dict", "model_state_dict", "model")
_WRAPPERS = ("module.", "_orig_mod.")
_PART = 2**20  # bytes that are hashed at once
_ORDERED = Named("collections", "OrderedDict")
_SAVE = "save weights by torch.save(model.state_dict(), FILE)"


def load_weights(model: nn.Module, path: Path) -> None:
    """Load the weights in a file into a model, which must have the same names and shapes.

    Args:
        model: the model, changed in place.
        path: path of the file, as for :func:`read_weights`.

    Raises:
        InputError: if the file cannot be read, has other names or shapes than the model, or holds NaN or infinity. The
            model does not change.
    """
    weights, own, place = read_weights(path), model.state_dict(), f"weights {str(path)!r}"
    _check_names(place, own, weights)
    for name, tensor in weights.items():
        if not is_lazy(own[name]) and tensor.shape != own[name].shape:
            raise InputError(
                f"{place}: {in_one_line(name)} has shape {list(tensor.shape)}, in the model {list(own[name].shape)}"
            )
        if tensor.is_floating_point() and not bool(tensor.double().isfinite().all()):
            raise InputError(f"{place}: {in_one_line(name)} holds NaN or infinity: the training of it diverged")
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:  # a model may load its state in a way of its own
        raise InputError(f"{place} cannot be loaded: {in_one_line(' '.join(str(error).split()))}") from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights in a file by name, on the CPU. Nothing is unpickled.

    A file of ``torch.save`` may hold the state dict, or a dictionary with it as ``state_dict``, ``model_state_dict`` or
    ``model``. The prefixes ``module.`` and ``_orig_mod.`` of wrapped models are removed.

    Args:
        path: path of a ``.safetensors`` file, or of a ``.pt``, ``.pth``, ``.ckpt`` or ``.bin`` file of ``torch.save``;
            may be a symbolic link.

    Raises:
        InputError: if the file is missing, too large, damaged, or holds anything but a state dict.
    """
    suffix, place = path.suffix.lower(), f"weights {str(path)!r}"
    if suffix not in (*_SAFETENSORS, *_OF_TORCH):
        raise InputError(f"{place}: a file of weights ends in {', '.join((*_SAFETENSORS, *_OF_TORCH))}")
    try:
        with _opened(path) as file:
            weights = load(file.read()) if suffix in _SAFETENSORS else _state_dict(TensorFile(file))
    except InputError:
        raise
    except ExcessError as error:
        raise InputError(f"{place} holds {error}") from error
    except SafetensorError as error:
        raise InputError(f"{place} is no file of safetensors: {in_one_line(str(error))}") from error
    except Exception as error:  # parsers raise exceptions of any kind for damaged files
        reason = in_one_line(first_line(error))
        raise InputError(f"{place} cannot be read: {reason}") from error
    return _unwrapped(weights)


def weights_digest(path: Path) -> str:
    """Return the SHA-256 of a file of weights.

    Raises:
        InputError: if the file is missing or too large.
    """
    with _opened(path) as file:
        digest = hashlib.sha256()
        while part := file.read(_PART):
            digest.update(part)
        return digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with open_regular(path, follow=True) as file:
            FILE.check(os.fstat(file.fileno()).st_size, f"{str(path)!r}")
            yield file
    except ArtifactError as error:
        raise InputError(f"file of weights {error}") from error
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise InputError(f"file of weights {str(path)!r} {reason}") from error


def _state_dict(saved: TensorFile) -> dict[str, Tensor]:
    entries = _entries(saved.value)
    for name in _OUTER:
        inner = entries.get(name)
        if isinstance(inner, dict) or (isinstance(inner, Saved) and inner.made_by == _ORDERED):
            entries = _entries(inner)
            break
    saved.check_memory((inert, 0) for inert in entries.values())
    tensors: dict[str, Tensor] = {}
    for name, inert in entries.items():
        tensor = saved.tensor(inert)
        if tensor is None:
            raise ValueError(f"{_named(inert, f'entry {in_one_line(str(name))!r}')}: {_SAVE}")
        tensors[str(name)] = tensor
    return tensors


def _entries(value: Any) -> dict[Any, Any]:
    if isinstance(value, Saved) and value.made_by == _ORDERED and value.arguments == ():
        return value.items or {}
    if not isinstance(value, dict):
        raise ValueError(f"{_named(value, 'it')}: {_SAVE}")
    return value


def _named(inert: Any, place: str) -> str:
    """Return a text that says what a file holds in place of weights."""
    made = inert.made_by if isinstance(inert, Saved) else inert
    what = f"{made.module}.{made.name}" if isinstance(made, Named) else type(inert).__name__
    return f"{place} holds {in_one_line(what)} in place of a state dict of dense, real tensors"


def _unwrapped(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = dict(weights)
    while found and (wrapper := next((w for w in _WRAPPERS if all(name.startswith(w) for name in found)), None)):
        found = {name.removeprefix(wrapper): tensor for name, tensor in found.items()}
    return found


def _check_names(place: str, own: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    missing = [name for name in own if name not in weights]
    unknown = [name for name in weights if name not in own]
    parts = []
    if missing:
        parts.append(f"{listed([_beside(name, unknown) for name in missing])} missing")
    if unknown:
        parts.append(f"the model has no {listed(unknown)}")
    if parts:
        raise InputError(f"{place} are of another model: {'; '.join(parts)}")


def _beside(name: str, others: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(name, others, n=1, cutoff=0.6)
    return f"{name} (there is {printable(nearest[0])})" if nearest else name
