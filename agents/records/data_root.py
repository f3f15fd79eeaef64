"""Folder of the datasets' files of a run, which a file may name only if the user names it too."""

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import TypeVar

from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.datasets.catalogue import reads_root
from mixq_rl.errors import InputError
from mixq_rl.printable import shell_word

__all__ = ["confirmed", "root_option"]

_Config = TypeVar("_Config", bound=EvaluatorConfig)
_FIELD = next(field for field in fields(EvaluatorConfig) if field.name == "data_root")


def confirmed(config: _Config, source: Path, named: str | None) -> _Config:
    """Return a configuration of a file, with a folder of the datasets' files that the user named.

    The file may be a stranger's, and the folder in it any folder. It is used if the user named it, if it is that of the
    environment variable, or if it is the default folder and not inside the run folder.

    Args:
        config: configuration of the file, as seen from the present folder.
        source: folder of the file.
        named: folder that the user named, which replaces that of the file; None: none was named.

    Raises:
        InputError: if the dataset is read from a folder that the user did not name.
    """
    if named is not None:
        return replace(config, data_root=named)
    root = Path(config.data_root).resolve()
    if reads_root(config.dataset) and root not in _own_roots(source):
        raise InputError(
            f"{str(source)!r} names the data folder {config.data_root!r}, which you did not name: to read "
            f"{config.dataset} there, add --data-root {shell_word(config.data_root)}; or name another folder"
        )
    return config


def root_option(config: EvaluatorConfig) -> str:
    """Return the option that names the folder in a command, with a space at its end; empty if it is not needed."""
    own = Path(config.data_root).resolve() in _own_roots(None)
    return "" if own or not reads_root(config.dataset) else f"--data-root {shell_word(config.data_root)} "


def _own_roots(source: Path | None) -> list[Path]:
    default = Path(str(_FIELD.default)).resolve()
    roots = [] if source is not None and default.is_relative_to(source.resolve()) else [default]
    of_environment = os.environ.get(_FIELD.metadata["envvar"])
    return [*roots, Path(of_environment).resolve()] if of_environment else roots
