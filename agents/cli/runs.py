"""Command ``mixq-rl runs``: list of runs with their results."""

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from mixq_rl.agents.cli import options
from mixq_rl.agents.cli.output import output
from mixq_rl.agents.progress.log import logger
from mixq_rl.agents.quantities import percent, times
from mixq_rl.agents.records.index import IndexedRun, index_runs
from mixq_rl.printable import printable

__all__ = ["runs"]

_FOLDER = Path("runs")


def runs(
    folder: Annotated[Path, typer.Argument(help="Folder of run folders, searched at any depth.")] = _FOLDER,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """List runs with their states and best networks.

    Example: mixq-rl runs

    Example: mixq-rl runs runs --json
    """
    with output(quiet, as_json) as out:
        skipped: list[str] = []
        found = index_runs(folder, skipped.append) if folder.is_dir() or folder != _FOLDER else []
        if found:
            out.show(_table(found))
        else:
            out.say(f"no runs in {folder}: begin one with mixq-rl train")
        for reason in sorted(skipped):
            logger.warning("skipped: %s", reason)
        out.conclude({"runs": [run.document() for run in found], "skipped": sorted(skipped)})


def _table(found: list[IndexedRun]) -> Table:
    table = Table(
        caption="val, test: metric in %; reduction in bit operations (linear); of the best point", box=box.SIMPLE_HEAD
    )
    table.add_column("run", overflow="fold")
    for heading in ("kind", "state", "best", "metric"):
        table.add_column(heading, no_wrap=True)
    for heading in ("val", "test", "reduction", "evaluated"):
        table.add_column(heading, justify="right", no_wrap=True)
    for run in found:
        cells = [escape(printable(str(run.folder.path))), run.folder.kind, run.state]
        if run.result is not None:
            best = run.result.best
            cells += [
                escape(printable(best.label)),
                run.result.metric.title,
                percent(best.evaluation.accuracy, sign=False),
                percent(best.test_accuracy, sign=False),
                times(best.evaluation.reduction),
                str(run.result.evaluations),
            ]
        table.add_row(*cells)
    return table
