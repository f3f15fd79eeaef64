"""The HTML page of a run, and its content security policy."""

import base64
import hashlib
from collections.abc import Iterable
from importlib.resources import files

from markupsafe import Markup

from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.result import RunResult
from mixq_rl.agents.report.component_table import component_table
from mixq_rl.agents.report.intervals import test_interval
from mixq_rl.agents.report.network_table import network_table
from mixq_rl.agents.report.pareto_chart import pareto_chart
from mixq_rl.agents.report.provenance import next_steps, provenance
from mixq_rl.agents.report.rendering import render
from mixq_rl.agents.report.series import SERIES
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["report_page"]


def report_page(result: RunResult, evaluations: Iterable[Evaluation], folder: RunFolder) -> str:
    """Return the page of a run: HTML that loads no other file.

    Args:
        result: of the run.
        evaluations: all evaluations of its search.
        folder: of the run: its configuration and versions are shown, and the next steps name its path.
    """
    script = _file("chart.js")
    page = render(
        "page.html.j2",
        result=result,
        interval=test_interval(result, result.best),
        saving=result.objective.saving(result.best.evaluation, result.reference),
        chart=pareto_chart(result, evaluations),
        networks=network_table(result),
        components=component_table(result),
        provenance=provenance(folder, result),
        next_steps=next_steps(folder, result),
        policy=_policy(script),
        series=SERIES,
        style=_file("style.css"),
        script=script,
    )
    return f"{page}\n"


def _policy(script: str) -> str:
    """Return a policy that allows the page's own script and styles, and no other source."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _file(name: str) -> Markup:
    """Return a file of this package, which holds no text of users."""
    return Markup((files(__package__) / name).read_text(encoding="utf-8"))  # noqa: S704
