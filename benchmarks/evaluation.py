"""Allocations evaluated per second by the whole process: freezing, execution on integers, accuracy.

    python benchmarks/evaluation.py --data-root data --dataset Cora --shape arxiv

Writes ``results/evaluation.json``. Allocations with the same first bit-widths share executed steps, so the results also
have the share of steps that was executed. Random allocations share least. A walk changes one or two components at a
time, as a local search does, and shares more. The cost of the checks that make execution safe (no index out of bounds,
no sum beyond int32) is measured too, as a share of an evaluation.
"""

import json
import random
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from graphs import SHAPES, power_law_graph
from measuring import circumstances, interleaved

import mixq_rl
from mixq_rl.datasets.splits import fraction_split
from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.nn.bounds import check_aggregate, check_linear
from mixq_rl.nn.linear import IntegerLinear
from mixq_rl.propagation import Propagation
from mixq_rl.quantization import IntegerRange

RESULTS = Path(__file__).parent / "results" / "evaluation.json"
RUNS = 3


def main(
    dataset: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None,
    shape: Annotated[
        list[str] | None, typer.Option(help=f"Of a random graph: {', '.join(SHAPES)}. Repeatable.")
    ] = None,
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
    allocations: int = 1000,
    shape_allocations: Annotated[int, typer.Option(help="Of random graphs.")] = 100,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    document = circumstances("evaluation.py", place) | {"device": place, "datasets": []}
    tasks = [(name, mixq_rl.load_task(name, data_root), allocations) for name in dataset or []]
    tasks += [(f"random graph, {name}", _random_task(name), shape_allocations) for name in shape or []]
    for name, task, count in tasks:
        entry = {"dataset": name, "allocations": count, **_measure(_on(task, place), place, count)}
        print(json.dumps(entry), flush=True)
        document["datasets"].append(entry)
    RESULTS.parent.mkdir(exist_ok=True)
    results = RESULTS if place == "cpu" else RESULTS.with_stem(f"evaluation-{place}")
    results.write_text(json.dumps(document, indent=2) + "\n")


def _on(task: mixq_rl.GraphTask, place: str) -> mixq_rl.GraphTask:
    return task if place == "cpu" else task.to(place)


def _random_task(name: str) -> mixq_rl.GraphTask:
    """A graph of that shape with random features and classes: what is measured does not depend on them."""
    shape, draw = SHAPES[name], torch.Generator().manual_seed(0)
    rowptr, col = power_law_graph(shape, seed=0)
    target = torch.repeat_interleave(torch.arange(shape.nodes), rowptr.diff().long())
    return mixq_rl.GraphTask(
        name,
        torch.randn(shape.nodes, shape.features, generator=draw),
        torch.stack([col.long(), target]),
        torch.randint(shape.classes, (shape.nodes,), generator=draw),
        fraction_split(shape.nodes, train=0.5, validation=0.2, seed=0),
    )


def _measure(task: mixq_rl.GraphTask, place: str, count: int) -> dict[str, Any]:
    model = mixq_rl.build_model("gcn", task).to(place)
    # What the weights are makes no difference: nothing is trained, and none of it is timed.
    evaluator = mixq_rl.PostTrainingEvaluator(model, task, bit_widths=(2, 4, 8))
    random_ones, walk = _random(evaluator, count), _walk(evaluator, count)
    evaluator.warm_up()
    fresh = _best(evaluator, random_ones)
    checks = _seconds_of_checks(evaluator, task) if place == "cpu" else {}
    seconds = 1 / fresh["allocations_per_second"]
    found: dict[str, Any] = {"random": fresh, "walk": _best(evaluator, walk)}
    if checks:
        found["milliseconds_of_checks"] = {part: 1e3 * value for part, value in checks.items()}
        found["checks_over_evaluation"] = sum(checks.values()) / seconds
    return found


def _best(evaluator: IntegerEvaluator, allocations: list[tuple[int, ...]]) -> dict[str, float]:
    """Return the speed of the best of three runs, each of which begins with nothing that was executed before."""
    best: dict[str, float] = {}
    for _ in range(RUNS):
        evaluator._shared = None
        started = time.perf_counter()
        evaluator.evaluate(allocations)
        seconds = (time.perf_counter() - started) / len(allocations)
        if not best or 1e3 * seconds < best["milliseconds_of_an_evaluation"]:
            best = {
                "allocations_per_second": 1 / seconds,
                "milliseconds_of_an_evaluation": 1e3 * seconds,
                "steps_executed_over_asked": evaluator.shared.executed / evaluator.shared.asked,
            }
    return best


def _random(evaluator: IntegerEvaluator, count: int) -> list[tuple[int, ...]]:
    draw = random.Random(0)
    return [tuple(draw.choice(evaluator.bit_widths) for _ in evaluator.components) for _ in range(count)]


def _walk(evaluator: IntegerEvaluator, count: int) -> list[tuple[int, ...]]:
    draw, allocation = random.Random(0), [max(evaluator.bit_widths)] * len(evaluator.components)
    found: dict[tuple[int, ...], None] = {}
    while len(found) < count:
        for _ in range(draw.choice((1, 2))):
            allocation[draw.randrange(len(allocation))] = draw.choice(evaluator.bit_widths)
        found[tuple(allocation)] = None
    return list(found)


def _seconds_of_checks(evaluator: IntegerEvaluator, task: mixq_rl.GraphTask) -> dict[str, float]:
    frozen = evaluator.freeze([8] * len(evaluator.components))
    values = [step.weight.payload for step in frozen.steps if isinstance(step, IntegerLinear)]
    csr = task.inputs("validation").graph.adjacency(Propagation("symmetric", "remaining", weighted=True)).csr

    def weights() -> None:
        for layer in values:
            check_linear("conv", layer, IntegerRange(8, False), 0)

    def neighbours() -> None:
        for _ in values:
            check_aggregate("conv", csr, IntegerRange(8, False), 0, IntegerRange(8, True), 0)

    names = {"sums of products": weights, "sums over neighbours": neighbours}
    return interleaved(names, seconds=1.0)


if __name__ == "__main__":
    typer.run(main)
