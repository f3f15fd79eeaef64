"""Losses on validation data beside those on test: how much of what a search finds is luck.

For the networks of one bit-width and for those of the agent, by how many times fewer bit operations they have, the
program prints the mean loss against float32 on both splits, from ``results/results.jsonl``. Each seed counts once:

    python benchmarks/validation_luck.py --dataset PT --model gcn
"""

import statistics
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from results_rows import Point, lines, of_cell

BANDS = ((8, 15), (15, 22), (22, 29), (29, 33))
UNIFORM = (8, 1)


def main(dataset: Annotated[str, typer.Option()], model: Annotated[str, typer.Option()] = "gcn") -> None:
    points = {(line["method"], line["seed"]): line["points"] for line in of_cell((dataset, model), lines())}
    print(f"| {dataset}, {model} | seeds | validation | test |\n| --- | ---: | ---: | ---: |")
    for bits in UNIFORM:
        label = f"uniform {bits}"
        _print_row(label, "uniform", points, lambda point, label=label: point["label"] == label)
    for low, high in BANDS:
        _print_row(f"agent, {low} to {high} times", "agent", points, lambda p, a=low, b=high: a <= p["reduction"] < b)


def _print_row(
    name: str, method: str, points: dict[tuple[str, int], Sequence[Point]], belongs: Callable[[Point], bool]
) -> None:
    """Print the mean losses, in points, of the networks of a method that belong to the row."""
    losses: list[tuple[float, float]] = []
    for (measured, seed), networks in points.items():
        own = [point for point in networks if belongs(point)] if measured == method else []
        if own:
            (float32,) = points["float32", seed]
            validation, test = (
                statistics.mean(float32[split] - point[split] for point in own) for split in ("validation", "test")
            )
            losses.append((validation, test))
    if losses:
        cells = [f"{100 * statistics.mean(values):+.1f}" for values in zip(*losses, strict=True)]
        print("| " + " | ".join([name, str(len(losses)), *cells]) + " |")


if __name__ == "__main__":
    typer.run(main)
