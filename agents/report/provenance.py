"""What was run, with what, and how to do it again."""

import shlex
from collections.abc import Iterable
from typing import Any

from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.result import RunResult
from mixq_rl.agents.report.markup import Markup, element, joined
from mixq_rl.evaluation.objective import Objective

__all__ = ["provenance", "what_next"]

_PACKAGED_POLICY = "the one that comes with the package"
_START = "start"
_NO_OPTIONS = ("policy", "objective")


def provenance(folder: RunFolder, result: RunResult) -> Markup:
    """Return lists of the run's configuration, data, versions and machine."""
    found = folder.document
    config = dict(folder.config)
    if config.get("policy") == "":
        config["policy"] = _PACKAGED_POLICY
    splits = ", ".join(f"{count} {split}" for split, count in result.counts.items())
    search = {
        "allocations evaluated": result.evaluations,
        "hypervolume": f"{result.hypervolume:.4f}",
        f"{result.kind}s": splits,
    }
    return element(
        "div",
        _listed("configuration", [(name.replace("_", " "), value) for name, value in config.items()]),
        element(
            "div",
            _listed("search and data", search.items()),
            _listed("machine", dict(found.get("hardware", {})).items()),
        ),
        _listed("versions", [*dict(found.get("packages", {})).items(), ("git commit", found.get("commit"))]),
        class_="columns",
    )


def what_next(folder: RunFolder, result: RunResult) -> Markup:
    """Return what can be done with the run: repeat, watch, ship and load it."""
    run = shlex.quote(str(folder.path))
    exact = (
        "Times are measured anew and differ."
        if result.objective is Objective.LATENCY
        else "On this machine, with these versions, it gives the same table, policy and network."
    )
    return joined(
        _command("Run it again", _repeated(folder), exact),
        _command("Watch how the search went", f"tensorboard --logdir {run}"),
        _command("Ship the best network", f"mixq-rl export {run} --output DIR"),
        _command(
            "Use it in Python",
            "import mixq_rl\n\n"
            f"model = mixq_rl.IntegerModel.load({str(folder.model)!r})\n"
            "logits = model(x, edge_index)  # float features, int64 edges; also of graphs it has never seen",
            "For several graphs at once: model(x, edge_index, batch=batch).",
        ),
        _command("Write this page again", f"mixq-rl report {run}"),
    )


def _repeated(folder: RunFolder) -> str:
    """Return the command of such a run; one that began with a policy is given by its options."""
    if folder.config.get("policy") is None:
        return f"mixq-rl train --config {shlex.quote(str(folder.path / 'config.json'))} --run-dir NEW"
    words = ["mixq-rl", "transfer", "--policy", str(folder.path / _START)]
    for name, value in folder.config.items():
        if value is not None and name not in _NO_OPTIONS:
            given = ",".join(str(item) for item in value) if isinstance(value, list) else str(value)
            words += [f"--{name.replace('_', '-')}", given]
    return f"{shlex.join(words)} --run-dir NEW"


def _listed(title: str, entries: Iterable[tuple[str, Any]]) -> Markup:
    pairs = [
        joined(element("dt", name), element("dd", _written(value))) for name, value in entries if value is not None
    ]
    return element("section", element("h3", title), element("dl", *pairs))


def _written(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _command(title: str, command: str, note: str | None = None) -> Markup:
    return element(
        "div",
        element("h3", title),
        element("pre", element("code", command)),
        *([] if note is None else [element("p", note, class_="muted")]),
        class_="command",
    )
