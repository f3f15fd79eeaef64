"""Configuration, data, versions and machine of a run, and commands for the next steps."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mixq_rl.agents.quantities import area
from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.result import RunResult
from mixq_rl.agents.records.user_files import files_option
from mixq_rl.agents.report.rendering import render
from mixq_rl.printable import printable, shell_word

__all__ = ["next_steps", "provenance"]

_PACKAGED_POLICY = "the policy of the package"
_START = "start"


def provenance(folder: RunFolder, result: RunResult) -> Markup:
    """Return the run's configuration, search, machine and versions, as lists."""
    found = folder.document
    config = dict(folder.config)
    if config.get("policy") == "":
        config["policy"] = _PACKAGED_POLICY
    return render(
        "provenance.html.j2",
        configuration=_listed((name.replace("_", " "), value) for name, value in config.items()),
        search=[
            ("allocations evaluated", str(result.evaluations)),
            ("hypervolume", area(result.hypervolume)),
            (f"{result.kind}s", ", ".join(f"{count} {split}" for split, count in result.counts.items())),
        ],
        notes=[printable(str(note)) for note in found.get("notes", ())],
        machine=_listed(dict(found.get("hardware", {})).items()),
        versions=_listed([*dict(found.get("packages", {})).items(), ("git commit", found.get("commit"))]),
    )


def next_steps(folder: RunFolder, result: RunResult) -> Markup:
    """Return commands that repeat the run, show its search, and export and load its best network."""
    run = shell_word(folder.path)
    exact = (
        "On this machine, with these versions, the result is the same table, policy and network."
        if result.objective.repeatable
        else "Times are measured again and will differ."
    )
    steps = [
        _Step("Run it again", _repeated(folder), exact),
        _Step("Show the search in TensorBoard", f"tensorboard --logdir {run}"),
        _Step("Export the best network", f"mixq-rl export {run} --output DIR"),
        _Step(
            "Use it in Python",
            "import mixq_rl\n\n"
            f"model = mixq_rl.IntegerModel.load({str(folder.model)!r})\n"
            "logits = model(x, edge_index)  # float features, int64 edges; new graphs too",
            "For several graphs at once: model(x, edge_index, batch=batch).",
        ),
        _Step("Write this page again", f"mixq-rl report {run}"),
    ]
    return render("next_steps.html.j2", steps=steps)


@dataclass(frozen=True)
class _Step:
    """A command of the page.

    Attributes:
        title: its purpose.
        command: the command, or lines of Python.
        note: shown below it.
    """

    title: str
    command: str
    note: str | None = None


def _repeated(folder: RunFolder) -> str:
    """Return the command that repeats the run."""
    model, weights = (folder.config.get(name) for name in ("model", "weights"))
    files = files_option(None if model is None else str(model), None if weights is None else str(weights))
    policy = f"--policy {shell_word(folder.path / _START)} " if folder.config.get("policy") else ""
    return f"mixq-rl train --config {shell_word(folder.path / 'config.json')} {policy}{files}--run-dir NEW"


def _listed(entries: Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(name, _written(value)) for name, value in entries if value not in (None, [])]


def _written(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(printable(str(item)) for item in value)
    return f"{value:g}" if isinstance(value, float) else printable(str(value))
