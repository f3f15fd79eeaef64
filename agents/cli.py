"""The command ``mixq-rl``."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from typer.exceptions import TyperException

from mixq_rl.agents.stages import Stages
from mixq_rl.agents.tables import allocation_table, final_table
from mixq_rl.agents.training_run import RunConfig, train
from mixq_rl.datasets import datasets
from mixq_rl.errors import BitWidthError, InputError
from mixq_rl.evaluators import evaluators
from mixq_rl.nn import models
from mixq_rl.objective import Objective
from mixq_rl.quantization import schemes
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
        str,
        typer.Option(
            help=f"{', '.join(datasets)}; tu:NAME for another of TUDataset; or a path to your own graph or graphs "
            "(.npz, or .pt holding tensors)."
        ),
    ] = RunConfig.dataset,
    fold: Annotated[
        int | None,
        typer.Option(
            help="Which of a dataset's splits, from 0, where it has several: of TUDataset, Chameleon, Squirrel and "
            "your own graphs 10, of CSL 5.",
            show_default="the first",
        ),
    ] = RunConfig.fold,
    model: Annotated[str, typer.Option(help=f"{', '.join(models)}.")] = RunConfig.model,
    layers: Annotated[
        int | None,
        typer.Option(
            help="Number of graph layers.", show_default="2 to classify nodes; 4, of a gin 5, to classify graphs"
        ),
    ] = RunConfig.num_layers,
    hidden_channels: Annotated[
        int | None,
        typer.Option(help="Width of the hidden layers.", show_default="64 or 128, as is usual for the model"),
    ] = RunConfig.hidden_channels,
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
    evaluator: Annotated[
        str,
        typer.Option(
            metavar=f"<{'|'.join(evaluators)}>",
            help="Whose weights the search judges an allocation by. supernet: one network's, trained once for all of "
            "them. fine-tune: its own, fine-tuned for a few epochs, which is slow. post-training: those of float32.",
        ),
    ] = RunConfig.evaluator,
    scheme: Annotated[
        str,
        typer.Option(
            metavar=f"<{'|'.join(schemes)}>",
            help="Where scales come from. lsq: learned. a2q: several learned for a component, of which each node takes "
            "the nearest. The others follow the values in training, degree-quant with nodes protected by their degree.",
        ),
    ] = RunConfig.scheme,
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
    """Train an agent on one dataset, and execute, fine-tune and measure what it finds.

    Example: mixq-rl train --dataset Cora --data-root data --episodes 1000 --bits 2,4,8 --seed 0
    """
    console = _console()
    config = RunConfig(
        dataset=dataset,
        fold=fold,
        model=model,
        num_layers=layers,
        hidden_channels=hidden_channels,
        episodes=episodes,
        bits=_parse_bits(bits),
        objective=Objective(objective),
        evaluator=evaluator,
        scheme=scheme,
        seed=seed,
        data_root=data_root,
    )
    folder = run_dir or _default_run_dir(config)
    where = f"run folder: {folder}\nto watch the search: {_tensorboard()} --logdir {folder}"
    result = train(config, folder, Stages(console, where))
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
    dataset = Path(config.dataset).stem.replace(":", "-")  # of tu:NAME, which not every file system takes
    name = f"{dataset}-{config.model}-seed{config.seed}-{datetime.now():%Y%m%d-%H%M%S}"
    return Path("runs") / name


def _tensorboard() -> str:
    beside = Path(sys.executable).with_name("tensorboard")
    if not beside.exists():
        return "tensorboard"
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)


def _console() -> Console:
    # A pipe or a log file has no width of its own: the table must not be cut to 80 columns there.
    return Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)
