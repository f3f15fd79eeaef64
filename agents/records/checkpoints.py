"""Checkpoints of a run, as data without code."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixq_rl.errors import ArtifactError
from mixq_rl.storage.artifacts import load_artifact, save_artifact
from mixq_rl.storage.files import replacing_folder

__all__ = ["Checkpoints", "State"]

State = dict[str, Any]
"""Nested dictionaries (of strings), lists and tuples of plain values, torch tensors and NumPy arrays."""

_KIND = "checkpoint"
_VERSION = 2
_KEPT = 2
_DIGITS = 9


class Checkpoints:
    """Folder of the last two checkpoints, each named by its step.

    Args:
        path: path of the folder, which is created when it is first needed.
        warn: called with a message for each damaged checkpoint that is skipped.
    """

    def __init__(self, path: Path, warn: Callable[[str], None] = lambda sentence: None) -> None:
        self.path = path
        self._warn = warn

    def save(self, step: int, state: State) -> None:
        """Write a checkpoint atomically and remove all but the last two.

        Raises:
            OSError: if the checkpoint cannot be written.
        """
        tensors: dict[str, Tensor] = {}
        document = {"step": step, "state": _flatten(state, "state", tensors)}
        with replacing_folder(self.path / f"{step:0{_DIGITS}d}") as draft:
            save_artifact(draft, _KIND, _VERSION, document, tensors)
        for old in self._folders()[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def latest(self) -> tuple[int, State] | None:
        """Return step and state of the newest undamaged checkpoint; None if there is none."""
        for folder in reversed(self._folders()):
            try:
                return int(folder.name), _read(folder)
            except ArtifactError as error:
                self._warn(f"checkpoint {folder.name} is skipped: {error}")
        return None

    def _folders(self) -> list[Path]:
        if not self.path.is_dir():
            return []
        return sorted(
            folder for folder in self.path.iterdir() if len(folder.name) == _DIGITS and folder.name.isdecimal()
        )


def _read(folder: Path) -> State:
    config, tensors = load_artifact(folder, _KIND, _VERSION)
    if config.get("step") != int(folder.name):
        raise ArtifactError(f"{folder} holds the checkpoint of another step, {config.get('step')!r}")
    try:
        state = _restore(config["state"], tensors)
    except (KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{folder} holds a damaged checkpoint: {error!r}") from error
    if not isinstance(state, dict):
        raise ArtifactError(f"{folder} holds a damaged checkpoint: its state is no dictionary")
    return state


def _flatten(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return ``value`` as JSON data; its tensors and arrays are added to ``tensors``."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        key = f"{len(tensors)}"
        tensors[key] = value.detach().cpu().contiguous().clone()
        return {"tensor": key}
    if isinstance(value, np.ndarray):
        key = f"{len(tensors)}"
        tensors[key] = torch.from_numpy(value.copy(order="C"))
        return {"array": key}
    if isinstance(value, list | tuple):
        return [_flatten(item, f"{name}.{index}", tensors) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {"items": {key: _flatten(item, f"{name}.{key}", tensors) for key, item in value.items()}}
    raise TypeError(f"{name}: {type(value).__name__} cannot be kept in a checkpoint")


def _restore(data: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(data, list):
        return [_restore(item, tensors) for item in data]
    if not isinstance(data, dict):
        return data
    if "items" in data:
        return {key: _restore(item, tensors) for key, item in data["items"].items()}
    return tensors[data["tensor"]] if "tensor" in data else tensors[data["array"]].numpy()
