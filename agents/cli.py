"""The command ``mixq-rl``."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text
from typer.exceptions import TyperException

from mixq_rl import training
from mixq_rl.agents.tables import allocation_table, final_table
from mixq_rl.agents.training_run import RunConfig, train
from mixq_rl.datasets import datasets
from mixq_rl.errors import BitWidthError, InputError
from mixq_rl.nn import models
from mixq_rl.objective import Objective
from mixq_rl.version import __version__

__all__ = ["app", "main"]

_USAGE, _FAILURE, _INTERRUPTED = 2, 1, 130
_PLAIN_WIDTH = 120

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mixq-rl {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find how many bits each component of a graph neural network needs, and get a network that runs on integers."""


@app.command("train")
def _train(
    dataset: Annotated[
        str, typer.Option(help=f"{', '.join(datasets)}, or a path to your own graph (.npz, or .pt holding tensors).")
    ] = RunConfig.dataset,
    model: Annotated[str, typer.Option(help=f"{', '.join(models)}.")] = RunConfig.model,
    episodes: Annotated[
        int, typer.Option(help="Episodes of the search; each proposes one allocation.")
    ] = RunConfig.episodes,
    bits: Annotated[str, typer.Option(help="Bit-widths on offer, each within 1...8.")] = ",".join(
        str(width) for width in RunConfig.bits
    ),
    objective: Annotated[
        str,
        typer.Option(
            metavar=f"<{'|'.join(Objective)}>",
            help="What is to be saved: bit operations, or time. Time is measured on this machine under its present "
            "load, so that two runs of one seed differ.",
        ),
    ] = RunConfig.objective.value,
    seed: Annotated[int, typer.Option(help="Of weights, training, search and fine-tuning.")] = RunConfig.seed,
    data_root: Annotated[
        str, typer.Option(envvar="MIXQ_RL_DATA", help="Folder of the datasets' files.")
    ] = RunConfig.data_root,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results, new or empty.", show_default="runs/<dataset>-<model>-seed<seed>-<time>"
        ),
    ] = None,
) -> None:
    """Train an agent on one graph, and execute, fine-tune and measure what it finds.

    Example: mixq-rl train --dataset Cora --data-root data --episodes 1000 --bits 2,4,8 --seed 0
    """
    console = _console()
    config = RunConfig(dataset, model, episodes, _parse_bits(bits), seed, data_root, objective=Objective(objective))
    folder = run_dir or _default_run_dir(config)
    where = f"run folder: {folder}\nto watch the search: {_tensorboard()} --logdir {folder}"
    result = train(config, folder, _Stages(console, where))
    console.print(final_table(result.finalists, result.best, config.objective))
    console.print(allocation_table(result.components, result.best))
    console.print(
        f"{result.evaluations} allocations executed on integers, hypervolume {result.hypervolume:.4f}\n{where}",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )


def main() -> None:
    """Run the command; every mistake of the user's is answered with one line and exit code 2."""
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except InputError as error:
        _fail(str(error), _USAGE)
    except (typer.Abort, KeyboardInterrupt):
        _fail("interrupted", _INTERRUPTED)
    except TyperException as error:
        _fail(error.format_message() if isinstance(error, typer.BadParameter) else str(error), _USAGE)
    except OSError as error:
        _fail(str(error), _FAILURE)
    else:
        if code == _INTERRUPTED:
            _fail("interrupted", _INTERRUPTED)
        sys.exit(code or 0)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"mixq-rl: {' '.join(message.split())}", err=True)
    sys.exit(code)


def _parse_bits(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise BitWidthError(f"--bits {text!r} is not a list of whole numbers such as 2,4,8") from error


def _default_run_dir(config: RunConfig) -> Path:
    name = f"{Path(config.dataset).stem}-{config.model}-seed{config.seed}-{datetime.now():%Y%m%d-%H%M%S}"
    return Path("runs") / name


def _tensorboard() -> str:
    beside = Path(sys.executable).with_name("tensorboard")
    if not beside.exists():
        return "tensorboard"
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)


def _console() -> Console:
    # A pipe or a log file has no width of its own: the table must not be cut to 80 columns there.
    return Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)


class _CountColumn(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        total = "?" if task.total is None else f"{task.total:.0f}"
        return Text(f"{task.completed:.0f}/{total} {self._unit}", style="progress.download")


class _SpeedColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.0f}/s" if speed else "", style="progress.data.speed")


class _Stages:
    """A progress bar for each stage, after a word on where the run can be watched."""

    def __init__(self, console: Console, where: str) -> None:
        self._console = console
        self._where: str | None = where

    @contextmanager
    def __call__(self, what: str, unit: str) -> Iterator[training.Progress]:
        if self._where is not None:
            self._console.print(self._where, soft_wrap=True, highlight=False, markup=False)
            self._where = None
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description:<24}"),
            BarColumn(),
            _CountColumn(unit),
            _SpeedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with Progress(*columns, console=self._console) as bars:
            bar = bars.add_task(what, total=None)
            yield lambda done, total: bars.update(bar, completed=done, total=total)
