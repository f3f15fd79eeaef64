"""Command ``mixq-rl study``: runs over datasets, models and seeds, and a table of their results."""

from pathlib import Path
from typing import Annotated

import typer

from mixq_rl.agents.cli import options
from mixq_rl.agents.cli.failures import Failure, going_on
from mixq_rl.agents.cli.output import output
from mixq_rl.agents.cli.run_choice import whereabouts
from mixq_rl.agents.cli.study_file import read_study
from mixq_rl.agents.progress.interruption import interruptible
from mixq_rl.agents.progress.log import logger
from mixq_rl.agents.records.user_files import files_option
from mixq_rl.agents.records.workers_config import WorkersConfig
from mixq_rl.agents.report.study_table import study_table
from mixq_rl.agents.runs.study import run_study
from mixq_rl.printable import shell_word
from mixq_rl.training.cache import PreparationCache

__all__ = ["study"]


def study(
    *,
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="JSON file of the study.", show_default=False)],
    workers: Annotated[
        int,
        typer.Option(
            help="Carry out this many runs at a time, in processes of Ray. 0: one after another in this process; with "
            "--ray-address one for each CPU or GPU of the cluster."
        ),
    ] = 0,
    ray_address: Annotated[
        str | None, typer.Option(help="Carry out the runs on a Ray cluster.", metavar="auto|HOST:PORT")
    ] = None,
    data_root: Annotated[
        str | None,
        typer.Option(help="Folder of the datasets' files.", show_default="that of the file, MIXQ_RL_DATA, or data"),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Python file of a model in the study, net.py:Net, whose code may be executed. Repeatable."),
    ] = None,
    cache: options.Cache = options.CACHE,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results: new, empty, or of this study.",
            show_default="that of the file, or runs/<name of the file>",
        ),
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Carry out mixq-rl train for all combinations of datasets, models and seeds, and print means and deviations.

    The file is a JSON object: {"datasets": ["citation", "Cora"], "models": ["gcn", "sage"], "seeds": [0, 1, 2],
    "options": {"bits": "1,2,4,8", "episodes": 64}}. The options are those of mixq-rl train.

    A study that was stopped goes on when the same command is started again. Runs that have ended are kept.

    Example: mixq-rl study study.json

    Example: mixq-rl study study.json --workers 2 --run-dir runs/study
    """
    with output(quiet, as_json) as out:
        working = WorkersConfig(workers=workers, ray_address=ray_address)
        named, runs = read_study(context, file, data_root, model or [])
        for run in runs:
            working.check(run.config)
        folder = run_dir or named
        again = f"study {shell_word(file)} {_repeated(data_root, model or [], cache, working)}--run-dir"
        with going_on(folder, again), interruptible(out.announcing(whereabouts(folder))) as stage:
            result = run_study(runs, folder, stage, PreparationCache(cache), workers=working)
        if result.rows:
            out.show(study_table(result.rows))
        out.say(f"{len(result.results)} of {len(runs)} runs have ended\n{whereabouts(folder)}")
        out.conclude({"run_dir": str(folder), **result.document()})
        for name, failure in result.failures.items():
            logger.warning("%s has failed: %s", name, failure)
        if result.failures:
            count = f"{len(result.failures)} of {len(runs)} runs have failed"
            raise Failure(f"{count}: to try these again, mixq-rl {again} {shell_word(folder)}")


def _repeated(data_root: str | None, models: list[str], cache: Path, workers: WorkersConfig) -> str:
    """Return the options that a command has which carries on with the study, with a space at the end."""
    named = "" if data_root is None else f"--data-root {shell_word(data_root)} "
    named += "".join(files_option(model, None) for model in models)
    named += "" if cache == options.CACHE else f"--cache {shell_word(cache)} "
    named += f"--workers {workers.workers} " if workers.workers else ""
    return named + (f"--ray-address {shell_word(workers.ray_address)} " if workers.ray_address else "")
