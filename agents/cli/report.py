"""``mixq-rl report``: a page that shows what a run found."""

from pathlib import Path
from typing import Annotated

import typer

from mixq_rl.agents.cli import options
from mixq_rl.agents.cli.output import output
from mixq_rl.agents.cli.run_choice import ended_run
from mixq_rl.agents.records.result import RunResult
from mixq_rl.agents.report import report_page, searched
from mixq_rl.storage.files import replace_file

__all__ = ["report"]


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run of mixq-rl train or transfer that has ended.")],
    to: Annotated[Path | None, typer.Option("--output", help="File to write.", show_default="RUN/report.html")] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Write one page that shows what a run found: to be opened in any browser, sent to anyone, and printed.

    It needs no network and no other file. A run writes it at its end, too.

    Example: mixq-rl report runs/citation-gcn-seed0-20260101-120000
    """
    with output(quiet, as_json) as out:
        folder = ended_run(run)
        result = RunResult.load(folder.result)
        path = to or folder.report
        replace_file(path, report_page(result, searched(folder, result), folder))
        out.say(f"report: {path}")
        out.conclude({"report": str(path), "run_dir": str(run)})
