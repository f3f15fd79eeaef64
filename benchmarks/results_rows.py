"""Rows of the tables of results: what one way to choose bit-widths reached for a network over the seeds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from measuring import read_lines

from mixq_rl.envs import TradeOff
from mixq_rl.evaluation.protocol import Evaluation

__all__ = [
    "RESULTS",
    "Cell",
    "Line",
    "Point",
    "Row",
    "at_least",
    "best",
    "chosen_row",
    "estimated",
    "labelled",
    "lines",
    "of_cell",
    "of_one_fold",
]

RESULTS = Path(__file__).parent / "results" / "results.jsonl"

PREFERENCE = 0.5
"""Preference of the reward by which ``train`` chooses its best network."""

Cell = tuple[str, str]
Line = dict[str, Any]
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


def lines() -> list[Line]:
    """Return what has been measured."""
    return read_lines(RESULTS)


def chosen_row(known: Sequence[Line], cell: Cell, name: str, methods: Sequence[str], choice: Choice) -> Row | None:
    """Return what one choice among the networks of some methods reached; None if a seed has no such network.

    A row with the lucky seeds alone would mislead.

    Args:
        known: what has been measured.
        cell: dataset and model.
        name: name of the row.
        methods: methods whose networks may be chosen; seeds without one of them are left out.
        choice: returns the chosen network of a seed, or None.
    """
    found = {(line["method"], line["seed"]): line["points"] for line in of_cell(cell, known)}
    float32 = {seed: points[0]["test"] for (method, seed), points in found.items() if method == "float32"}
    measured = [seed for seed in float32 if all((method, seed) in found for method in methods)]
    offered = {seed: [point for method in methods for point in found[method, seed]] for seed in measured}
    chosen = {seed: point for seed in measured if (point := choice(offered[seed])) is not None}
    if not chosen or len(chosen) < len(measured):
        return None
    test = [100 * point["test"] for point in chosen.values()]
    loss = [100 * (float32[seed] - point["test"]) for seed, point in chosen.items()]
    return Row(name, test, loss, list(chosen.values()))


def at_least(
    known: Sequence[Line], cell: Cell, method: str, target: float, name: str, *, by_estimate: bool = True
) -> Row | None:
    """Return the row of the most accurate networks of at least ``target`` times fewer bit operations.

    The accuracy is the estimate if all networks have one, and ``by_estimate``, and else that on validation data.
    """

    def choice(points: Sequence[Point]) -> Point | None:
        merit = _merit(points, by_estimate)
        allowed = [point for point in points if point["reduction"] >= target]
        return max(allowed, key=lambda point: (merit(point), point["reduction"])) if allowed else None

    return chosen_row(known, cell, f"{name}, at least {target:g}×", [method, "uniform"], choice)


def best(points: Sequence[Point]) -> Point:
    """Return the network that ``train`` would choose."""
    merit, float32 = _merit(points), Evaluation((), 0.0, 1.0, 1.0, 1.0, 1.0)

    def reward(point: Point) -> float:
        evaluation = Evaluation((), merit(point), 1.0, point["reduction"], 1.0, 1.0)
        return TradeOff()(evaluation, float32, PREFERENCE)

    return max(points, key=reward)


def estimated(points: Sequence[Point]) -> bool:
    """Return whether all networks of a choice have estimates, so that these are compared."""
    return all(point.get("estimate") is not None for point in points)


def _merit(points: Sequence[Point], by_estimate: bool = True) -> Callable[[Point], float]:
    """Return what the networks of a choice are compared by: estimates if all have one, else validation accuracies."""
    key = "estimate" if by_estimate and estimated(points) else "validation"
    return lambda point: float(point[key])


def of_cell(cell: Cell, known: Sequence[Line]) -> list[Line]:
    """Return what has been measured of a network."""
    return [line for line in known if (line["dataset"], line["model"]) == cell]


def labelled(points: Sequence[Point], label: str) -> Point | None:
    """Return the network of a label, or None."""
    return next((point for point in points if point["label"] == label), None)


def of_one_fold(cell: Cell) -> bool:
    """Return whether all seeds of a network had the same fold, which the name of its dataset says (``--fold``)."""
    return ", fold " in cell[0]
