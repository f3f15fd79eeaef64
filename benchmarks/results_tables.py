"""Tables of ``results/results.jsonl``: ``results/results.csv``, and those of ``docs/results.md``."""

import csv
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from measuring import read_lines

__all__ = ["RESULTS", "lines", "write_tables"]

RESULTS = Path(__file__).parent / "results" / "results.jsonl"
TABLE = RESULTS.with_suffix(".csv")
PAGE = Path(__file__).parent.parent / "docs" / "results.md"
BEGIN, END = "<!-- tables: written by benchmarks/results.py -->", "<!-- end of the tables -->"

SEARCHES = ("agent", "tpe", "greedy", "relaxed")
TARGETS = {("Cora", "gcn"): (20, 30), ("CiteSeer", "gcn"): (20, 30), ("Cora", "sage"): (20,)}
OTHERS = (8, 14)

# Accuracy in %, and 10^9 bit operations (convention linear), from the experiment logs published with the code of
# MixQ-GNN (ICDE 2025), simulated in float; float32 first.
PUBLISHED: dict[tuple[str, str], tuple[tuple[str, str, float], ...]] = {
    ("Cora", "gcn"): (
        ("float32", "82.16 ± 0.26", 16.110),
        ("MixQ, λ ≈ 0", "81.58 ± 0.75", 3.950),
        ("MixQ, λ = 0.1", "77.72 ± 2.85", 3.347),
        ("MixQ, λ = 1", "68.68 ± 2.72", 1.676),
        ("MixQ, λ ≈ 0, and Degree-Quant", "81.79 ± 0.31", 4.015),
    ),
    ("CiteSeer", "gcn"): (
        ("float32", "70.31 ± 0.38", 50.679),
        ("MixQ, λ ≈ 0", "68.97 ± 1.11", 12.443),
        ("MixQ, λ = 0.1", "66.52 ± 1.81", 5.179),
        ("MixQ, λ = 1", "60.87 ± 8.72", 4.226),
        ("MixQ, λ ≈ 0, and Degree-Quant", "69.32 ± 0.30", 12.656),
    ),
    ("Cora", "tag"): (
        ("float32", "81.87 ± 0.73", 50.61),
        ("MixQ, λ ≈ 0", "80.08", 15.25),
        ("MixQ, λ = 0.1", "76.71", 8.91),
        ("MixQ, λ = 1", "74.34", 5.89),
    ),
    ("PROTEINS", "gin"): (
        ("float32", "70.46 ± 4.24", 7.626),
        ("MixQ, λ ≈ 0", "71.59 ± 4.65", 1.712),
        ("MixQ, λ = 1", "72.82 ± 5.23", 1.259),
    ),
}

Point = dict[str, Any]
Choice = Callable[[Sequence[Point]], Point | None]


class Row(NamedTuple):
    """One way to choose bit-widths for a network: what it reached over the seeds.

    Attributes:
        name: of the way.
        test: accuracy on the test split in %, of each seed.
        loss: float32's accuracy minus that, in points, of each seed.
        points: the networks.
    """

    name: str
    test: list[float]
    loss: list[float]
    points: list[Point]


def lines() -> list[dict[str, Any]]:
    """Return what has been measured."""
    return read_lines(RESULTS)


def write_tables() -> None:
    """Write the CSV file and, between two marks, the tables of the page."""
    known = lines()
    cells = list(dict.fromkeys((line["dataset"], line["model"]) for line in known))
    tables = {
        cell: list(_rows(cell, [line for line in known if (line["dataset"], line["model"]) == cell])) for cell in cells
    }
    _write_csv(tables)
    text = PAGE.read_text()
    head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    PAGE.write_text(f"{head}\n\n" + "\n\n".join(_markdown(*item) for item in tables.items()) + f"\n\n{tail}")


def _rows(cell: tuple[str, str], known: Sequence[dict[str, Any]]) -> Iterator[Row]:
    own = [line for line in known if (line["dataset"], line["model"]) == cell]
    found = {(line["method"], line["seed"]): line["points"] for line in own}
    float32 = {seed: points[0]["test"] for (method, seed), points in found.items() if method == "float32"}

    def row(name: str, methods: Sequence[str], choice: Choice) -> Iterator[Row]:
        measured = [seed for seed in float32 if all((method, seed) in found for method in methods)]
        offered = {seed: [point for method in methods for point in found[method, seed]] for seed in measured}
        chosen = {seed: point for seed in measured if (point := choice(offered[seed])) is not None}
        if chosen and len(chosen) == len(measured):  # a row with the lucky seeds alone would mislead
            test = [100 * point["test"] for point in chosen.values()]
            loss = [100 * (float32[seed] - point["test"]) for seed, point in chosen.items()]
            yield Row(name, test, loss, list(chosen.values()))

    for method in ("float32", "float32, distilled"):
        yield from row(method, [method], lambda points: points[0])
    for method in ("uniform", "Degree-Quant", "A²Q"):
        labels = dict.fromkeys(
            point["label"] for (name, _), points in found.items() if name == method for point in points
        )
        for label in labels:
            yield from row(label, [method], lambda points, label=label: _labelled(points, label))
    for method in SEARCHES:
        name = "relaxed (MixQ)" if method == "relaxed" else method
        yield from row(f"{name}, chosen", [method, "uniform"], _best)
        for target in TARGETS.get(cell, OTHERS):
            yield from row(
                f"{name}, at least {target}×", [method, "uniform"], lambda points, t=target: _from(points, t)
            )


def _labelled(points: Sequence[Point], label: str) -> Point | None:
    return next((point for point in points if point["label"] == label), None)


def _best(points: Sequence[Point]) -> Point:
    """Return the network that ``train`` would choose on validation data."""
    return max(points, key=lambda point: point["reward"])


def _from(points: Sequence[Point], target: float) -> Point | None:
    """Return the network of the highest validation accuracy among those of at least this reduction."""
    allowed = [point for point in points if point["reduction"] >= target]
    return max(allowed, key=lambda point: (point["validation"], point["reduction"])) if allowed else None


def _markdown(cell: tuple[str, str], rows: Sequence[Row]) -> str:
    dataset, model = cell
    text = [
        f"### {dataset}, {model}",
        "",
        "| | seeds | test accuracy, % | loss, points | fewer BitOPs, `linear` | `product` | KB | faster |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        own = [f"{_mean(row, 'reduction'):.1f}×"]
        if "bytes" in row.points[0]:
            own += [f"{_mean(row, 'product_reduction'):.0f}×", f"{_mean(row, 'bytes') / 1000:.1f}"]
            own += [f"{_mean(row, 'speed_up'):.1f}×"]
        cells = [row.name, str(len(row.test)), _spread(row.test), _spread(row.loss, "+.2f"), *own]
        text.append("| " + " | ".join([*cells, *[""] * (8 - len(cells))]) + " |")
    for name, accuracy, bitops in PUBLISHED.get(cell, ()):
        less = PUBLISHED[cell][0][2] / bitops
        text.append(f"| *published: {name}* | | *{accuracy}* | | *{less:.1f}×* | | | |")
    return "\n".join(text)


def _mean(row: Row, name: str) -> float:
    return statistics.mean(point[name] for point in row.points)


def _spread(values: Sequence[float], form: str = ".2f") -> str:
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{form}}{deviation}"


def _write_csv(tables: dict[tuple[str, str], list[Row]]) -> None:
    measured = ("reduction", "product_reduction", "bytes", "speed_up")
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["dataset", "model", "row", "seeds", "test", "test_sd", "loss", "loss_sd", *measured])
        for cell, rows in tables.items():
            for row in rows:
                spreads = [statistics.stdev(values) if len(values) > 1 else 0.0 for values in (row.test, row.loss)]
                own = [statistics.mean(row.test), spreads[0], statistics.mean(row.loss), spreads[1]]
                means = [f"{_mean(row, name):.4g}" if name in row.points[0] else "" for name in measured]
                writer.writerow([*cell, row.name, len(row.test), *(f"{value:.3f}" for value in own), *means])
