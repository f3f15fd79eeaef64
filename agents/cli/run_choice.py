"""Where a run is written, and what its commands have in common."""

import shlex
import sys
from datetime import datetime
from pathlib import Path

import typer

from mixq_rl.agents.problem_config import ProblemConfig
from mixq_rl.errors import InputError

__all__ = ["default_run_dir", "refuse_beside_resume", "timed_run_dir", "whereabouts"]

_BESIDE_RESUME = ("resume", "cache", "data_root", "quiet", "as_json")


def default_run_dir(config: ProblemConfig) -> Path:
    """Return ``runs/<dataset>-<model>-seed<seed>-<time>``."""
    dataset = Path(config.dataset).stem.replace(":", "-")  # of tu:NAME, which not every file system takes
    return timed_run_dir(f"{dataset}-{config.model}-seed{config.seed}")


def timed_run_dir(name: str) -> Path:
    """Return ``runs/<name>-<time>``."""
    return Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"


def whereabouts(folder: Path) -> str:
    """Return where a run is, and how to watch it."""
    return f"run folder: {folder}\nto watch the search: {_tensorboard()} --logdir {shlex.quote(str(folder))}"


def refuse_beside_resume(context: typer.Context) -> None:
    """Refuse options that a run which is gone on with has already.

    Raises:
        InputError: naming one that was given.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if parameter.name not in _BESIDE_RESUME and source is not None and source.name == "COMMANDLINE":
            raise InputError(f"--resume goes on with a run as it was begun: leave {parameter.opts[0]} out")


def _tensorboard() -> str:
    beside = Path(sys.executable).with_name("tensorboard")
    if not beside.exists():
        return "tensorboard"
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)
