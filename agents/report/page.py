"""The page: its parts in order, and what a browser may do with it."""

import base64
import hashlib
from collections.abc import Iterable
from importlib.resources import files

from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.result import RunResult
from mixq_rl.agents.report.component_table import component_table
from mixq_rl.agents.report.intervals import wilson_interval
from mixq_rl.agents.report.markup import Markup, element, joined
from mixq_rl.agents.report.network_table import network_table
from mixq_rl.agents.report.pareto_chart import pareto_chart
from mixq_rl.agents.report.provenance import provenance, what_next
from mixq_rl.agents.report.quantities import memory, milliseconds, percent, times
from mixq_rl.evaluation.objective import Objective
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["report_page"]

_GLOSSARY = (
    (
        "bit operations (BitOPs)",
        "what a network computes, weighted by bits. Linear: each operation counts the mean bit-width of its operands "
        "and its result. Product: each multiply-accumulate counts the product of its operands' bit-widths.",
    ),
    ("reduction", "how many times fewer bit operations than the same network in float32: 12.0×."),
    ("allocation", "a bit-width for each component of the network: its features, weights, messages, adjacency, sums."),
    ("Pareto front", "the allocations that no other beats in both accuracy and saving."),
    (
        "fine-tuned",
        "trained on with its own allocation; as searched: with the weights by which the search judges allocations.",
    ),
    ("hypervolume", "the area under the front, in log2 of the saving and above the majority class: more is better."),
)


def report_page(result: RunResult, evaluations: Iterable[Evaluation], folder: RunFolder) -> str:
    """Return the page of a run, as HTML that needs nothing else.

    Args:
        result: what the run found.
        evaluations: all that its search made.
        folder: of the run: says what was run, and is named in what can be done next.
    """
    style, script = _file("style.css"), _file("chart.js")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        # Without one, browsers ask the server for one.
        element("link", rel="icon", href="data:,"),
        element("title", f"{result.title}: bits"),
        element("style", style),
    )
    body = element("body", element("main", *_sections(result, evaluations, folder)), element("script", script))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _sections(result: RunResult, evaluations: Iterable[Evaluation], folder: RunFolder) -> list[Markup]:
    return [
        element(
            "header",
            element("p", "mixq_rl", class_="kicker"),
            element("h1", result.title),
            element("p", *_summary(result), class_="lead"),
        ),
        _section(
            "Accuracy against what is saved",
            element(
                "p",
                "Each point is one allocation of bits, executed on integers, on validation data. Point at one, or "
                "touch it, for its bits; with the keyboard, Tab enters the chart and the arrow keys go along it.",
                class_="muted hint",
            ),
            pareto_chart(result, evaluations),
        ),
        _section("Networks", network_table(result), *_about_networks(result)),
        _section(f"{result.best.label}, layer by layer", component_table(result), *_about_components()),
        _section("What was run", provenance(folder, result)),
        _section("What to do with it", what_next(folder, result)),
        _section(
            "Terms",
            element(
                "dl",
                *(joined(element("dt", term), element("dd", meaning)) for term, meaning in _GLOSSARY),
                class_="glossary",
            ),
        ),
    ]


def _summary(result: RunResult) -> list[str]:
    best, float32 = result.best, result.finalists[0]
    evaluation = best.evaluation
    low, high = wilson_interval(best.test_accuracy, result.counts["test"])
    held, float_held = (sum(share.bytes for share in result.shares), sum(share.float_bytes for share in result.shares))
    speed = ""
    if result.objective is Objective.LATENCY:
        speed = (
            f", in {milliseconds(evaluation.seconds)} ms where float32 takes "
            f"{milliseconds(float32.evaluation.seconds)} "
            f"({result.objective.saving(evaluation, float32.evaluation):.2f}× float32's speed)"
        )
    return [
        "The best network, ",
        element("strong", best.label),
        ", is right on ",
        element("strong", percent(best.test_accuracy)),
        f" of the test {result.kind}s (95\N{NO-BREAK SPACE}% interval {percent(low)} to {percent(high)}; float32: "
        f"{percent(float32.test_accuracy)}) with ",
        element("strong", f"{times(evaluation.reduction)} fewer bit operations"),
        f"{speed}, and its components take ",
        element("strong", memory(held)),
        f" in place of {memory(float_held)}.",
    ]


def _about_networks(result: RunResult) -> list[Markup]:
    test, validation = result.counts["test"], result.counts["validation"]
    notes = [
        f"★ best: {result.choice}. The test split decides nothing: it is only measured.",
        f"Intervals: Wilson (1927), over the {test} test {result.kind}s alone. They say nothing of other seeds or of "
        f"training anew, and all networks answer the same ones. Validation: {validation} {result.kind}s, by which the "
        "networks were chosen, so that those accuracies flatter them.",
        "The line in each picture is float32. Integer networks are trained towards the float32 network's answers, too, "
        "which float32 is not: that is how they can exceed it.",
    ]
    if result.objective is Objective.LATENCY:
        notes.append("Time: median of warm executions, on this machine under the load that it had.")
    return [element("p", note, class_="muted") for note in notes]


def _about_components() -> list[Markup]:
    notes = (
        "Memory: of a component's values as they are held (3 bits take 4, 5 to 7 take 8, an edge of an adjacency "
        "always a byte), and below in float32. BitOPs: the share of the network's, convention linear; bars are "
        "relative to the greatest.",
        "Time: of the operations whose result it is, the median of five executions, on this machine under the load "
        "that it had; what is only an operand has none of its own.",
    )
    return [element("p", note, class_="muted") for note in notes]


def _section(title: str, *content: Markup) -> Markup:
    return element("section", element("h2", title), *content)


def _policy(script: str) -> str:
    """Return what the browser is to allow: this very script, and nothing from anywhere else."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _file(name: str) -> Markup:
    return Markup((files(__package__) / name).read_text(encoding="utf-8"))
