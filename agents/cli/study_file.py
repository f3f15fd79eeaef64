"""File of a study: runs over datasets, models, seeds and folds with common options."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from itertools import product
from pathlib import Path
from typing import Any, Literal

import typer

from mixq_rl.agents.cli.config_file import defaults_of, read_document, suggestion
from mixq_rl.agents.cli.fields import Given
from mixq_rl.agents.cli.run_choice import run_name
from mixq_rl.agents.records.confirmation import confirmed_models
from mixq_rl.agents.records.data_root import confirmed
from mixq_rl.agents.records.run_config import RunConfig
from mixq_rl.agents.records.study_folder import StudyRun
from mixq_rl.datasets.catalogue import check_name
from mixq_rl.errors import ArtifactError, InputError
from mixq_rl.storage.schema import from_plain

__all__ = ["StudyFile", "read_study"]

_VARIED = {"dataset": "datasets", "model": "models", "seed": "seeds", "fold": "folds"}
_NEITHER = (*_VARIED, "weights")
_OPTIONS = [option.name for option in fields(RunConfig) if "help" in option.metadata and option.name not in _NEITHER]


@dataclass(frozen=True)
class StudyFile:
    """Content of the file of a study.

    Attributes:
        datasets: names of datasets.
        models: names of models.
        seeds: seeds.
        folds: numbers of splits; empty: the default split.
        options: options of ``mixq-rl train`` for all runs, as in a file for ``--config``.
        folder: folder of the study; None: ``runs/`` and the name of the file without its suffix.
        command: command of each run.
    """

    datasets: tuple[str, ...]
    models: tuple[str, ...] = (RunConfig.model,)
    seeds: tuple[int, ...] = (RunConfig.seed,)
    folds: tuple[int, ...] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    folder: str | None = None
    command: Literal["train"] = "train"


def read_study(
    context: typer.Context, path: Path, data_root: str | None, models: Sequence[str]
) -> tuple[Path, list[StudyRun]]:
    """Return the folder that the file of a study names, or the default one, and the runs of the study.

    Args:
        context: context of the command.
        path: path of the file.
        data_root: folder of the datasets' files that the user named; None: none was named.
        models: models of Python files that the user named.

    Raises:
        InputError: if the file cannot be read, or anything in it is wrong.
    """
    source = f"study {str(path)!r}"
    file = _content(path, source)
    for name in dict.fromkeys(file.datasets):
        check_name(name)
    given = _given(context, file.options, source, data_root)
    varied = product(file.datasets, file.models, file.seeds, (None,) if file.folds is None else file.folds)
    configs = [
        config
        for dataset, model, seed, fold in varied
        for config in given.configs(dataset=dataset, model=model, seed=seed, fold=fold)
    ]
    if len(configs) > len(file.datasets) * len(file.models) * len(file.seeds) * len(file.folds or (None,)):
        raise InputError(f"{source} has several values of bits or num_layers: a study has one of each")
    if data_root is None and "data_root" in file.options:
        configs = [confirmed(config, path.parent, None) for config in configs]
    configs = confirmed_models(configs, path, models, None)
    runs = [StudyRun(run_name(config), config) for config in configs]
    twice = [name for name, count in Counter(run.name.lower() for run in runs).items() if count > 1]
    if twice:
        raise InputError(
            f"{source} has the run {twice[0]} twice: name each dataset, model, seed and fold once, and files of "
            "different names"
        )
    return Path("runs") / path.stem if file.folder is None else Path(file.folder), runs


def _content(path: Path, source: str) -> StudyFile:
    document = read_document(path, source)
    if not isinstance(document, dict):
        raise InputError(f'{source} is not a JSON object such as {{"datasets": ["citation"], "seeds": [0, 1]}}')
    known = [known.name for known in fields(StudyFile)]
    for name in document:
        if name in _OPTIONS:
            raise InputError(f"{source} names {name!r} beside its datasets: write it into 'options'")
        if name not in known:
            raise InputError(f"{source} names {name!r}: known are {', '.join(known)}{suggestion(name, known)}")
    try:
        file = from_plain(document, StudyFile)
    except ArtifactError as error:
        raise InputError(f"{source}: {error}") from error
    for name in ("datasets", "models", "seeds", "folds"):
        if getattr(file, name) == ():
            raise InputError(f"{source} has no {name}: the list is empty")
    for name, plural in _VARIED.items():
        if name in file.options:
            raise InputError(f"{source} has {name!r} among its options: write it into {plural!r}")
    if file.folder is not None and (Path(file.folder).is_absolute() or ".." in Path(file.folder).parts):
        raise InputError(
            f"{source} names the folder {file.folder!r}, which is not below the present one: give --run-dir in the "
            "command"
        )
    return file


def _given(context: typer.Context, chosen: dict[str, Any], source: str, data_root: str | None) -> Given[RunConfig]:
    """Return the values of the options, read as ``mixq-rl train --config`` reads them."""
    command: Any = context.find_root().command
    train = command.get_command(context, "train")
    defaults = defaults_of(train, chosen, source, only=_OPTIONS)
    arguments = [] if data_root is None else ["--data-root", data_root]
    parsed = train.make_context("train", arguments, default_map=defaults)
    values = {name: parsed.params[name] for name in _OPTIONS}
    return Given(RunConfig, values, ("num_layers", "bits"))
