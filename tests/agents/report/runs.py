"""Runs made by hand, for tests of the page: what a run leaves, without the training."""

import math
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

from mixq_rl.agents import RunConfig
from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.result import ComponentShare, ExpectedChange, Finalist, RunResult
from mixq_rl.evaluation.objective import BITOPS, LATENCY, Objective
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.evaluation.store import EvaluationStore, EvaluatorDescription

WHOLE = 3.2e6
KINDS = ("weight", "message", "adjacency", "aggregate")


def evaluation(allocation: Sequence[int], accuracy: float, seconds: float = 0.0) -> Evaluation:
    """Of a network whose components cost the same."""
    mean = sum(allocation) / len(allocation)
    return Evaluation(
        tuple(allocation), accuracy, WHOLE * mean / 32, 32 / mean, 32 * WHOLE * (mean / 32) ** 2, (32 / mean) ** 2,
        seconds=seconds, size=round(1000 * mean),
    )  # fmt: skip


def run_result(
    *,
    layers: int = 2,
    title: str = "gcn on somewhere",
    objective: Objective = BITOPS,
    majority: float = 0.4,
    run_dir: Path = Path("runs/one"),
) -> RunResult:
    """A run over ``layers`` layers of four components, of which agent 2 is the best."""
    names = [f"conv{layer + 1}.{kind}" for layer in range(layers) for kind in KINDS]
    timed = objective is LATENCY
    rows = [
        ("float32", [32] * len(names), 0.80, 0.79, 0.010),
        ("uniform 8", [8] * len(names), 0.81, 0.80, 0.008),
        ("uniform 2", [2] * len(names), 0.62, 0.60, 0.004),
        ("agent 1", [2 if index % 2 else 8 for index in range(len(names))], 0.80, 0.81, 0.0065),
        ("agent 2", [4 if index % 4 == 0 else 2 for index in range(len(names))], 0.79, 0.785, 0.005),
    ]
    finalists = tuple(
        Finalist(label, evaluation(bits, accuracy, seconds if timed else 0.0), test)
        for label, bits, accuracy, test, seconds in rows
    )
    best = finalists[-1]
    shares = tuple(
        ComponentShare(
            name=name,
            kind=KINDS[index % 4],
            layer=index // 4,
            shape=(1000, 16) if index % 4 != 2 else (5000,),
            bits=bits,
            bitops=WHOLE / len(names) * bits / 32,
            float_bitops=WHOLE / len(names),
            seconds=0.0 if index % 4 in (0, 2) else 0.001 * (index + 1),
            bytes=math.prod((1000, 16)) * bits // 8 if index % 4 != 2 else 5000,
        )
        for index, (name, bits) in enumerate(zip(names, best.evaluation.allocation, strict=True))
    )
    return RunResult(
        title=title,
        kind="node",
        objective=objective,
        choice="highest reward at preference 0.5, on validation data",
        finalists=finalists,
        best=best,
        components=tuple(names),
        shares=shares,
        hypervolume=1.25,
        evaluations=12,
        counts={"train": 100, "validation": 500, "test": 1000},
        majority=majority,
        run_dir=run_dir,
        change=ExpectedChange(-0.012, -0.034, 0.011),
    )


def evaluations(result: RunResult) -> list[Evaluation]:
    """Twelve evaluations of a search: one far less accurate than the others."""
    count, timed = len(result.components), result.objective is LATENCY
    found = []
    for index in range(12):
        allocation = [2 << (index // 3**place % 3) for place in range(count)]
        found.append(
            evaluation(allocation, 0.2 if index == 11 else 0.7 + 0.008 * index, 0.004 + 0.0003 * index * timed)
        )
    return found


def run_folder(result: RunResult, config: RunConfig) -> RunFolder:
    """Write what the command reads of a run's folder, at the result's place."""
    with RunFolder.create(result.run_dir, "run", config) as folder:
        result.save(folder.result)
    store = EvaluationStore(folder.evaluations)
    store.describe(
        "a", EvaluatorDescription(result.title, result.components, (2, 4, 8), result.reference, result.majority)
    )
    store.add("a", evaluations(result))
    store.close()
    return folder


class Element:
    """An element of a page."""

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.content: list[Element | str] = []

    @property
    def text(self) -> str:
        """All text in it, as it is read."""
        return "".join(piece if isinstance(piece, str) else piece.text for piece in self.content)

    @property
    def classes(self) -> set[str]:
        return set(self.attributes.get("class", "").split())

    def all(self, name: str, class_: str | None = None) -> list["Element"]:
        """Return all elements in it of a name, and a class if one is given."""
        found = []
        for piece in self.content:
            if isinstance(piece, Element):
                if name in ("*", piece.name) and (class_ is None or class_ in piece.classes):
                    found.append(piece)
                found += piece.all(name, class_)
        return found

    def one(self, name: str, class_: str | None = None) -> "Element":
        (found,) = self.all(name, class_)
        return found


class _Tree(HTMLParser):
    """Accepts only elements that are closed where they have to be."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len({name for name, _ in attrs}), f"an attribute of {tag} is there twice"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].content.append(element)
        if tag not in ("meta", "link", "wbr", "br"):
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().name == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.open[-1].content.append(data)


def parsed(page: str) -> Element:
    """Return the page's root, refusing what is not nested."""
    tree = _Tree()
    tree.feed(page)
    tree.close()
    (root,) = tree.open
    return root
