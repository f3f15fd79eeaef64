"""Losses on validation data beside those on test: how much of what a search finds is luck.

For networks of one bit-width, and for those that are chosen among these and the agent's, the program prints the mean
loss against float32 on both splits, from ``results/results.jsonl``: of agents that compare estimates of the accuracy,
whose networks are chosen by estimate or by validation accuracy, and of agents that compare validation accuracies:

    python benchmarks/validation_luck.py --dataset PT --model gcn --least 14 --least 16 --least 20 --least 30

Both kinds of agents have the same seeds. Where only the first was measured, the others have no rows.
"""

import statistics
from collections.abc import Sequence
from typing import Annotated

import typer
from results_rows import Line, Row, at_least, chosen_row, estimated, labelled, lines, of_cell

SEARCHES = ("agent", "agent, by validation accuracy")
TARGETS = (14, 20, 30)
UNIFORM = (8, 1)


def main(
    dataset: Annotated[str, typer.Option()],
    model: Annotated[str, typer.Option()] = "gcn",
    least: Annotated[list[float] | None, typer.Option(help="Reduction. Repeatable. By default 14, 20 and 30.")] = None,
) -> None:
    cell = (dataset, model)
    measured = of_cell(cell, lines())
    searches = [search for search in SEARCHES if any(line["method"] == search for line in measured)]
    needed = ("float32", "uniform", *searches)
    seeds = [{line["seed"] for line in measured if line["method"] == method} for method in needed]
    known = [line for line in measured if line["seed"] in set.intersection(*seeds)]
    print(f"| {dataset}, {model} | seeds | validation | test |\n| --- | ---: | ---: | ---: |")
    for bits in UNIFORM:
        name = f"uniform {bits}"
        _print_row(known, chosen_row(known, cell, name, ["uniform"], lambda points, name=name: labelled(points, name)))
    offered = [point for line in known if line["method"] in ("agent", "uniform") for point in line["points"]]
    for search in searches:
        for target in least or TARGETS:
            _print_row(known, at_least(known, cell, search, target, search))
            if search == "agent" and estimated(offered):
                name = "agent, chosen by validation accuracy"
                _print_row(known, at_least(known, cell, search, target, name, by_estimate=False))


def _print_row(known: Sequence[Line], row: Row | None) -> None:
    if row is None:
        return
    float32 = statistics.mean(line["points"][0]["validation"] for line in known if line["method"] == "float32")
    validation = 100 * (float32 - statistics.mean(point["validation"] for point in row.points))
    spread = f" ± {statistics.stdev(row.loss):.2f}" if len(row.loss) > 1 else ""
    print(f"| {row.name} | {len(row.loss)} | {validation:+.2f} | {statistics.mean(row.loss):+.2f}{spread} |")


if __name__ == "__main__":
    typer.run(main)
