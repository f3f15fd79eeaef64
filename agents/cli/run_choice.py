"""Run folders of the commands: default names, and the checks before they are used."""

import sys
from datetime import datetime
from pathlib import Path

import typer

from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.errors import InputError
from mixq_rl.printable import printable, shell_word

__all__ = ["default_run_dir", "ended_run", "refuse_beside_resume", "run_name", "timed_run_dir", "whereabouts"]

_BESIDE_RESUME = ("resume", "cache", "data_root", "model", "weights", "workers", "ray_address", "quiet", "as_json")
_OTHERS = {
    "policy": "is of a policy for several tasks, which chose no network: use it with mixq-rl transfer --policy {run}",
    "search": "is of mixq-rl search, which chose no network: compare what it found with mixq-rl compare {run}",
}


def default_run_dir(config: EvaluatorConfig) -> Path:
    """Return ``runs/<dataset>-<model>-seed<seed>-<time>``."""
    return timed_run_dir(run_name(config))


def run_name(config: EvaluatorConfig) -> str:
    """Return ``<dataset>-<model>-seed<seed>``, followed by ``-fold<fold>`` if a fold was chosen."""
    # Some file systems do not allow the colon of tu:NAME, and a name that does not print is hard to type.
    dataset = printable(Path(config.dataset).stem)
    name = f"{dataset}-{config.network.replace('.py:', '-')}".replace(":", "-").replace("\\", "-")
    return f"{name}-seed{config.seed}" + ("" if config.fold is None else f"-fold{config.fold}")


def timed_run_dir(name: str) -> Path:
    """Return ``runs/<name>-<time>``."""
    return Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"


def whereabouts(folder: Path) -> str:
    """Return two lines: the run folder, and the command that shows it in TensorBoard."""
    return f"run folder: {printable(str(folder))}\nto watch the search: {_tensorboard()} --logdir {shell_word(folder)}"


def ended_run(path: Path) -> RunFolder:
    """Return the folder of a finished run that has a best network.

    Raises:
        InputError: for a run of another kind, or a run that has not ended; the message says what to do.
    """
    folder, quoted = RunFolder.read(path), shell_word(path)
    if folder.kind in _OTHERS:
        raise InputError(f"run folder {str(path)!r} {_OTHERS[folder.kind].format(run=quoted)}")
    if not folder.result.exists():
        how = "wait for it" if folder.in_use else f"resume it: mixq-rl train --resume {quoted}"
        raise InputError(f"the run in {str(path)!r} has not ended: {how}")
    return folder


def refuse_beside_resume(context: typer.Context) -> None:
    """Check that the command line has no option that ``--resume`` takes from the run.

    Raises:
        InputError: naming such an option.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if parameter.name not in _BESIDE_RESUME and source is not None and source.name == "COMMANDLINE":
            raise InputError(f"--resume takes the options of the run from its folder: leave {parameter.opts[0]} out")


def _tensorboard() -> str:
    beside = Path(sys.executable).with_name("tensorboard")
    if not beside.exists():
        return "tensorboard"
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)
