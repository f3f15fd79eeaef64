"""``mixq-rl report``: a page that shows what a run found."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from mixq_rl.agents.cli import options
from mixq_rl.agents.cli.output import output
from mixq_rl.agents.report import report_page, searched
from mixq_rl.agents.run_folder import RunFolder
from mixq_rl.agents.run_result import RunResult
from mixq_rl.errors import InputError
from mixq_rl.files import replace_file

__all__ = ["report"]

_OTHERS = {
    "policy": "is of a policy for several tasks, which chose no network: use it with mixq-rl transfer --policy {run}",
    "search": "is of mixq-rl search, which chose no network: compare what it found with mixq-rl compare {run}",
}


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
        folder = RunFolder.read(run)
        quoted = shlex.quote(str(run))
        if folder.kind in _OTHERS:
            raise InputError(f"run folder {str(run)!r} {_OTHERS[folder.kind].format(run=quoted)}")
        if not folder.result.exists():
            how = "wait for it" if folder.in_use else f"go on with it: mixq-rl train --resume {quoted}"
            raise InputError(f"the run in {str(run)!r} has not ended: {how}")
        result = RunResult.load(folder.result)
        path = to or folder.report
        replace_file(path, report_page(result, searched(folder, result), folder))
        out.say(f"report: {path}")
        out.conclude({"report": str(path), "run_dir": str(run)})
