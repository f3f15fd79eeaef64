"""Command ``mixq-rl compare``: comparison of searches at equal numbers of evaluations."""

from pathlib import Path
from typing import Annotated

import typer

from mixq_rl.agents.cli import options
from mixq_rl.agents.cli.output import output
from mixq_rl.agents.cli.search import budgets
from mixq_rl.agents.comparison import compare_runs, comparison_figure, comparison_table, search_document
from mixq_rl.errors import InputError

__all__ = ["compare"]


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of mixq-rl search or train.")],
    budget: Annotated[
        list[int] | None,
        typer.Option(
            help="Number of distinct evaluations to compare at. May be given several times.",
            show_default="32, 64, ...",
        ),
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="File for the figure.", show_default="RUN/comparison.png")] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Compare searches at equal numbers of distinct evaluations, in a table for each problem and a figure.

    Example: mixq-rl compare runs/Cora-gcn-seed0-20260101-120000
    """
    with output(quiet, as_json) as out:
        wrong = [value for value in budget or [] if value < 1]
        if wrong:
            raise InputError(f"a budget of {wrong[0]} evaluations: at least 1 is needed")
        grouped = list(compare_runs(runs).values())
        for found in grouped:
            out.show(comparison_table(found, sorted(set(budget)) if budget else budgets(found)))
        path = figure or runs[0] / "comparison.png"
        if path.is_dir():
            raise InputError(f"the figure cannot be written to {str(path)!r}: it is a folder")
        try:
            comparison_figure(grouped).savefig(path, dpi=150)
        except ValueError as error:
            raise InputError(f"the figure cannot be written to {str(path)!r}: {error}") from error
        out.say(f"figure: {path}")
        out.conclude({"figure": str(path), "searches": [row for found in grouped for row in search_document(found)]})
