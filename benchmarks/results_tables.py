"""Tables of ``results/results.jsonl``: ``results/results.csv``, and those of the documentation."""

import csv
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from published import FRONT, PUBLISHED, Published
from results_rows import RESULTS, Cell, Line, Row, at_least, best, chosen_row, labelled, lines, of_cell, of_one_fold

__all__ = ["write_tables"]

TABLE = RESULTS.with_suffix(".csv")
ROOT = Path(__file__).parent.parent
PAGE, NETWORKS, README = ROOT / "docs" / "results.md", ROOT / "docs" / "networks.md", ROOT / "README.md"
BEGIN, END = "<!-- tables: written by benchmarks/results.py -->", "<!-- end of the tables -->"

SEARCHES = ("agent", "tpe", "greedy", "relaxed")
TARGETS = (8, 14, 20, 30)
WITHIN = {8: 0.5, 4: 1.5}
"""Greatest loss in points that uniform bits should have."""

GRAPH_DATASETS = ("MUTAG", "CSL", "PROTEINS")


def write_tables() -> None:
    """Write the CSV file and, between two marks, the tables of three pages."""
    _replace(NETWORKS, _uniform_bits(lines()))
    known = _finished(lines())
    datasets = list(dict.fromkeys(line["dataset"] for line in known))
    cells = dict.fromkeys((line["dataset"], line["model"]) for line in known)
    tables = {cell: _rows(cell, known) for cell in sorted(cells, key=lambda cell: datasets.index(cell[0]))}
    _write_csv(tables)
    parts = [
        "### What the agent saves",
        _summary(known, tables),
        _mean_of_node_networks(known, tables),
        "### Beside published networks",
        _beside_published(known),
        *(_markdown(*item) for item in tables.items()),
    ]
    _replace(PAGE, "\n\n".join(parts))
    _replace(README, _short(tables))


def _finished(known: Sequence[Line]) -> list[Line]:
    """Return the lines of the seeds for which the agent's networks are known, so that rows have the same seeds."""
    seeds = {(line["dataset"], line["model"], line["seed"]) for line in known if line["method"] == "agent"}
    return [line for line in known if (line["dataset"], line["model"], line["seed"]) in seeds]


def _replace(page: Path, tables: str) -> None:
    text = page.read_text()
    head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    page.write_text(f"{head}\n\n{tables}\n\n{tail}")


def _rows(cell: Cell, known: Sequence[Line]) -> list[Row]:
    return [found for found in _choices(cell, known) if found is not None]


def _choices(cell: Cell, known: Sequence[Line]) -> Iterator[Row | None]:
    for method in ("float32", "float32, distilled"):
        yield chosen_row(known, cell, method, [method], lambda points: points[0])
    for method in ("uniform", "Degree-Quant", "A²Q"):
        found = [line["points"] for line in of_cell(cell, known) if line["method"] == method]
        for label in dict.fromkeys(point["label"] for points in found for point in points):
            yield chosen_row(known, cell, label, [method], lambda points, label=label: labelled(points, label))
    for method in SEARCHES:
        name = "relaxed (MixQ)" if method == "relaxed" else method
        yield chosen_row(known, cell, f"{name}, chosen", [method, "uniform"], best)
        for target in TARGETS:
            yield at_least(known, cell, method, target, name)


def _summary(known: Sequence[Line], tables: dict[Cell, list[Row]]) -> str:
    """Return the table of what the agent reached for each network."""
    text = [
        "| | seeds | float32 | loss: distilled | loss: 8 bits | loss: 4 bits | loss: chosen | reduction "
        "| loss: at least 14× | loss: at least 20× | loss: at least 30× |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for cell in tables:
        rows = {each.name: each for each in tables[cell]}
        if "agent, chosen" not in rows:
            continue
        chosen, float32 = rows["agent, chosen"], rows["float32"]
        losses = [
            _spread(rows[name].loss, "+.2f") if name in rows else ""
            for name in ("float32, distilled", "uniform 8", "uniform 4")
        ]
        cells = [" ".join(cell), str(len(chosen.test)), _spread(float32.test), *losses]
        cells += [_spread(chosen.loss, "+.2f"), f"{_mean(chosen, 'reduction'):.1f}×"]
        for target in (14, 20, 30):
            found = at_least(known, cell, "agent", target, "agent")
            cells.append(_spread(found.loss, "+.2f") if found else "")
        text.append("| " + " | ".join(cells) + " |")
    return "\n".join(text)


def _mean_of_node_networks(known: Sequence[Line], tables: dict[Cell, list[Row]]) -> str:
    """Return a sentence on the mean of the networks that classify nodes, each of which counts once."""
    cells = [cell for cell in tables if cell[0] not in GRAPH_DATASETS and not of_one_fold(cell)]
    parts = []
    for target in TARGETS[1:]:
        rows = [row for cell in cells if (row := at_least(known, cell, "agent", target, "agent")) is not None]
        loss, reduction = (statistics.mean(each) for each in zip(*map(_means, rows), strict=True))
        parts.append(f"{loss:+.2f} points for at least {target}× ({reduction:.1f}× in {len(rows)} networks)")
    return f"Mean loss of the networks that classify nodes, without those of one fold: {'; '.join(parts)}."


def _means(row: Row) -> tuple[float, float]:
    return statistics.mean(row.loss), _mean(row, "reduction")


def _short(tables: dict[Cell, list[Row]]) -> str:
    """Return the README's table: GCN on graphs whose nodes are classified, GIN where graphs are; no single folds."""
    text = [
        "| | seeds | float32, % | loss | fewer BitOPs |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for cell, rows in tables.items():
        found = {each.name: each for each in rows}
        shown = "gin" if cell[0] in GRAPH_DATASETS else "gcn"
        if "agent, chosen" in found and cell[1] == shown and not of_one_fold(cell):
            float32, chosen = found["float32"], found["agent, chosen"]
            cells = [", ".join(cell), str(len(chosen.test)), f"{statistics.mean(float32.test):.1f}"]
            cells += [_spread(chosen.loss, "+.1f"), f"{_mean(chosen, 'reduction'):.1f}×"]
            text.append("| " + " | ".join(cells) + " |")
    return "\n".join(text)


def _uniform_bits(known: Sequence[Line]) -> str:
    """Return the table of the networks with one bit-width everywhere; losses that are too great are bold."""
    text = [
        "| | model | seeds | float32 | 8 bits | loss | 4 bits | loss | 2 bits: loss | 1 bit: loss |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for cell in dict.fromkeys(sorted((line["dataset"], line["model"]) for line in known)):
        found = {bits: _uniform_row(known, cell, bits) for bits in (8, 4, 2, 1)}
        rows = {bits: row for bits, row in found.items() if row is not None}
        if not rows or of_one_fold(cell):
            continue
        float32 = [test + loss for test, loss in zip(rows[8].test, rows[8].loss, strict=True)]
        cells = [*cell, str(len(float32)), _spread(float32, ".1f")]
        for bits, row in rows.items():
            loss = statistics.mean(row.loss)
            cells += [_spread(row.test, ".1f")] if bits in WITHIN else []
            cells.append(f"**{loss:+.1f}**" if bits in WITHIN and loss > WITHIN[bits] else f"{loss:+.1f}")
        text.append("| " + " | ".join(cells) + " |")
    return "\n".join(text)


def _uniform_row(known: Sequence[Line], cell: Cell, bits: int) -> Row | None:
    label = f"uniform {bits}"
    return chosen_row(known, cell, label, ["uniform"], lambda points: labelled(points, label))


def _beside_published(known: Sequence[Line]) -> str:
    """Return the table of published networks, and of ours with at least their reduction."""
    text = [
        "| published | its float32 | accuracy | reduction | our float32 | at least that reduction: accuracy "
        "| reduction | difference |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for cell, points in PUBLISHED.items():
        for point in (*points[1:], *(FRONT if cell == ("Cora", "gcn") else ())):
            found = at_least(known, cell, "agent", point.reduction, "agent")
            if found is None:
                continue
            ours = statistics.mean(found.test)
            float32 = statistics.mean(test + loss for test, loss in zip(found.test, found.loss, strict=True))
            cells = [f"{' '.join(cell)}: {point.name}", f"{points[0].accuracy:.1f}", _accuracy(point)]
            cells += [f"{point.reduction:.1f}×", f"{float32:.1f}", _spread(found.test)]
            cells += [f"{_mean(found, 'reduction'):.1f}×", f"{ours - point.accuracy:+.1f}"]
            text.append("| " + " | ".join(cells) + " |")
    return "\n".join(text)


def _accuracy(point: Published) -> str:
    return f"{point.accuracy:.2f}" + ("" if point.deviation is None else f" ± {point.deviation:.2f}")


def _markdown(cell: Cell, rows: Sequence[Row]) -> str:
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
    for each in PUBLISHED.get(cell, ()):
        text.append(f"| *published: {each.name}* | | *{_accuracy(each)}* | | *{each.reduction:.1f}×* | | | |")
    return "\n".join(text)


def _mean(row: Row, name: str) -> float:
    return statistics.mean(point[name] for point in row.points)


def _spread(values: Sequence[float], form: str = ".2f") -> str:
    deviation = f" ± {statistics.stdev(values):{form.lstrip('+')}}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{form}}{deviation}"


def _write_csv(tables: dict[Cell, list[Row]]) -> None:
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
