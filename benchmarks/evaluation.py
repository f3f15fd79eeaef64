"""How many allocations a second are evaluated: frozen, executed on integers, judged; the whole process.

    python benchmarks/evaluation.py --data-root data --dataset Cora

Writes ``results/evaluation.json``. Allocations are drawn at random; those that agree in their first bits share steps,
and ``steps_executed`` is the share of steps that had to be executed. The cost of the checks that make execution safe
(no index out of bounds, no sum beyond int32) is measured beside it, as a share of an evaluation.
"""

import json
import random
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from measuring import circumstances, interleaved

import mixq_rl
from mixq_rl.graph import Propagation
from mixq_rl.kernels.indices import check_indices
from mixq_rl.nn.bounds import check_aggregate, check_linear
from mixq_rl.nn.linear import IntegerLinear
from mixq_rl.quantization import IntegerRange

__all__ = ["measure"]

RESULTS = Path(__file__).parent / "results" / "evaluation.json"


def main(
    dataset: Annotated[list[str], typer.Option(help="Repeatable.")],
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
    allocations: int = 1000,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 or auto.")] = "cpu",
) -> None:
    document = circumstances("evaluation.py", device) | {"datasets": []}
    for name in dataset:
        entry = measure(name, data_root, allocations, device)
        print(json.dumps(entry), flush=True)
        document["datasets"].append(entry)
    RESULTS.parent.mkdir(exist_ok=True)
    results = RESULTS if device == "cpu" else RESULTS.with_stem(f"evaluation-{device.replace(':', '-')}")
    results.write_text(json.dumps(document, indent=2) + "\n")


def measure(name: str, data_root: str, count: int, device: str) -> dict[str, Any]:
    """Return how many random allocations a second a supernet evaluates, and what share of their steps is executed."""
    task = mixq_rl.load_task(name, data_root, device=device)
    model = mixq_rl.fit(mixq_rl.build_model("gcn", task), task, epochs=5)
    evaluator = mixq_rl.SupernetEvaluator(model, task, epochs=1)
    draw = random.Random(0)
    drawn = [[draw.choice(evaluator.bit_widths) for _ in evaluator.components] for _ in range(count)]
    if task.device.type == "cuda":
        evaluator.warm_up()
    evaluator.evaluate(drawn[:20])
    shared = evaluator.shared
    asked, executed = shared.asked, shared.executed
    started = time.perf_counter()
    evaluator.evaluate(drawn)
    seconds = (time.perf_counter() - started) / count
    found = {
        "dataset": name,
        "device": str(task.device),
        "allocations": count,
        "allocations_per_second": 1 / seconds,
        "milliseconds_of_an_evaluation": 1e3 * seconds,
        "steps_executed": (shared.executed - executed) / (shared.asked - asked),
    }
    if task.device.type == "cuda":
        return found
    checks = _seconds_of_checks(evaluator, task)
    return {
        **found,
        "milliseconds_of_checks": {part: 1e3 * value for part, value in checks.items()},
        "checks_over_evaluation": sum(value for part, value in checks.items() if part != "once a graph") / seconds,
    }


def _seconds_of_checks(evaluator: mixq_rl.SupernetEvaluator, task: mixq_rl.GraphTask) -> dict[str, float]:
    frozen = evaluator.freeze([8] * len(evaluator.components))
    values = [step.weight.payload for step in frozen.steps if isinstance(step, IntegerLinear)]
    csr = task.inputs("validation").graph.adjacency(Propagation("symmetric", "remaining", weighted=True)).csr

    def weights() -> None:
        for layer in values:
            check_linear("conv", layer, IntegerRange(8, False), 0)

    def neighbours() -> None:
        for _ in values:
            check_aggregate("conv", csr, IntegerRange(8, False), 0, IntegerRange(8, True), 0)

    def known() -> None:
        for _ in values:
            check_indices(csr.rowptr, csr.col, task.num_nodes)

    def unknown() -> None:
        check_indices(csr.rowptr.clone(), csr.col.clone(), task.num_nodes)

    names = {"sums of products": weights, "sums over neighbours": neighbours, "indices": known, "once a graph": unknown}
    return interleaved(names, seconds=1.0)


if __name__ == "__main__":
    typer.run(main)
