"""Command ``mixq-rl compare``: comparison of searches at equal numbers of evaluations."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mixq_rl.agents.cli import options
from mixq_rl.agents.cli.failures import reason
from mixq_rl.agents.cli.output import output
from mixq_rl.agents.cli.search import budgets
from mixq_rl.agents.comparison import compare_runs, comparison_figure, comparison_table, search_document
from mixq_rl.agents.records.study_folder import run_folders
from mixq_rl.agents.records.trace import Trace
from mixq_rl.errors import InputError
from mixq_rl.printable import printable
from mixq_rl.storage.files import replace_file

__all__ = ["compare"]

_FIGURE = "comparison.png"


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of mixq-rl search or train, or folders of studies.")],
    budget: Annotated[
        list[int] | None,
        typer.Option(
            help="Number of distinct evaluations to compare at. May be given several times.",
            show_default="32, 64, ...",
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(help="File for the figure; its suffix is the format.", show_default="RUN/comparison.png"),
    ] = None,
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
        grouped = list(compare_runs([folder for path in runs for folder in run_folders(path)]).values())
        for found in grouped:
            out.show(comparison_table(found, sorted(set(budget)) if budget else budgets(found)))
        path, drawn = figure or runs[0] / _FIGURE, True
        try:
            _draw(grouped, path)
            out.say(f"figure: {printable(str(path))}")
        except OSError as error:
            if figure is not None:
                raise
            drawn = False
            out.say(f"no figure: {reason(error)}; name a file with --figure")
        out.conclude(
            {
                "figure": str(path) if drawn else None,
                "searches": [row for found in grouped for row in search_document(found)],
            }
        )


def _draw(grouped: Sequence[Sequence[Trace]], path: Path) -> None:
    """Write the figure, in the format of the file's suffix, in place of the file or link that is there.

    Raises:
        InputError: for a format that is not known.
        OSError: if the file cannot be written.
    """
    picture = io.BytesIO()
    try:
        comparison_figure(grouped).savefig(picture, format=path.suffix.removeprefix(".").lower() or "png", dpi=150)
    except ValueError as error:
        raise InputError(f"the figure cannot be written to {str(path)!r}: {error}") from error
    replace_file(path, picture.getvalue())
