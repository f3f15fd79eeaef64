"""Command ``mixq-rl report``: report of a run as an HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from mixq_rl.agents.cli import options
from mixq_rl.agents.cli.failures import Failure, reason
from mixq_rl.agents.cli.output import output
from mixq_rl.agents.cli.run_choice import ended_run
from mixq_rl.agents.records.result import RunResult
from mixq_rl.agents.report import report_page, searched
from mixq_rl.printable import printable
from mixq_rl.storage.files import replace_file

__all__ = ["report"]


def report(
    run: Annotated[Path, typer.Argument(help="Run folder of mixq-rl train or transfer; the run must have ended.")],
    to: Annotated[Path | None, typer.Option("--output", help="File to write.", show_default="RUN/report.html")] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Write the report of a run as one HTML page, which needs no other file and no internet access.

    A run writes the same page when it ends.

    Example: mixq-rl report runs/citation-gcn-seed0-20260101-120000
    """
    with output(quiet, as_json) as out:
        folder = ended_run(run)
        result = RunResult.load(folder.result)
        path = to or folder.report
        page = report_page(result, searched(folder, result), folder)
        try:
            replace_file(path, page)
        except OSError as error:
            if to is None:
                raise Failure(f"{reason(error)}: name another file with --output") from error
            raise
        out.say(f"report: {printable(str(path))}")
        out.conclude({"report": str(path), "run_dir": str(run)})
