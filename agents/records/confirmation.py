"""Files of a model that a run folder or a file of options names, and that are used only if the user names them too."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.agents.records.network import network_label
from mixq_rl.agents.records.user_files import digests, files_option
from mixq_rl.errors import InputError
from mixq_rl.nn.model_file import names_file
from mixq_rl.printable import shell_word

__all__ = ["confirmed_models"]

_Config = TypeVar("_Config", bound=EvaluatorConfig)


def confirmed_models(
    configs: Sequence[_Config], source: Path, models: Sequence[str], weights: str | None
) -> list[_Config]:
    """Return configurations of a file, with the models' files and the weights that the user named.

    The configurations may be a stranger's, and a model's file in them any program. It is executed only if the user
    named it.

    Args:
        configs: configurations of a run folder or a file of options.
        source: the folder or file.
        models: models that the user named. One takes the place of the model of the same label (``net.py:Net``); of
            several, the one with the recorded content.
        weights: file of weights that the user named; None: none was named.

    Raises:
        InputError: if a configuration names a model's file or weights that the user did not name, or if the user named
            a model or weights that no configuration has.
    """
    labels = [config.network for config in configs]
    strange = next((model for model in models if network_label(model) not in labels), None)
    if strange is not None:
        raise InputError(
            f"{str(source)!r} has model {labels[0]!r}, and not {strange!r}: leave --model {shell_word(strange)} out"
        )
    return [_confirmed(config, source, models, weights) for config in configs]


def _confirmed(config: _Config, source: Path, models: Sequence[str], weights: str | None) -> _Config:
    if weights is not None and config.weights is None:
        raise InputError(f"{str(source)!r} has no weights: leave --weights {shell_word(weights)} out")
    own = names_file(config.model)
    named = [name for name in models if network_label(name) == config.network] if own else [config.model]
    if not named or (weights is None and config.weights is not None):
        asked = "a model whose code" if own else "weights that"
        option = files_option(config.model, config.weights).strip()
        raise InputError(f"{str(source)!r} names {asked} you did not name: to use what it names, add {option}")
    unchanged = (name for name in named if digests(name, None)["model_sha256"] == config.model_sha256)
    return replace(config, model=next(unchanged, named[0]), weights=weights)
