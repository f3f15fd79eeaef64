"""How the package scales: studies of evaluation by several workers.

    python benchmarks/scale.py --study sleeping --study fine-tuning

Each study writes its part of ``results/scale.json``, with its command, versions and date, and leaves the others as they
are.

* ``sleeping``: evaluations a second of local workers whose evaluations sleep. It measures what Ray and the package cost
  beside an evaluation.
* ``fine-tuning``: seconds of 48 allocations that workers fine-tune for the built-in citation graph, with one thread
  each, three times. Run it while nothing else runs: it says how busy the cores were before.
* ``killing``: a run of ``mixq-rl train`` whose workers are killed every few seconds, against one without workers.
"""

import json
import os
import random
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from measuring import circumstances
from worker_kills import killing

import mixq_rl
from mixq_rl.evaluation.ray_evaluator import RayEvaluator
from mixq_rl.evaluation.ray_workers import RayWorkers

RESULTS = Path(__file__).parent / "results" / "scale.json"
CPUS = 0.02
"""CPUs that Ray reserves for a worker: these workers share the machine."""

SLEEP = 0.5
ROUNDS = 12
"""Evaluations of each sleeping worker."""

TUNED, REPEATS = 48, 3
"""Allocations that are fine-tuned, and how often."""


class Sleeping:
    """Evaluator that sleeps for half a second and answers with the evaluation of float32."""

    bit_widths = (2, 4, 8)

    def __init__(self, network: mixq_rl.Evaluator) -> None:
        self.components, self.reference = network.components, network.reference

    def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[mixq_rl.Evaluation]:
        time.sleep(SLEEP * len(allocations))
        return [self.reference for _ in allocations]


def main(
    study: Annotated[list[str], typer.Option(help="sleeping, fine-tuning, killing. Repeatable.")],
    workers: Annotated[list[int] | None, typer.Option(help="Instead of those of the study. Repeatable.")] = None,
) -> None:
    document = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in study:
        measured = STUDIES[name](workers)
        document[name] = circumstances("scale.py") | {"ray": version("ray")} | measured
        RESULTS.write_text(json.dumps(document, indent=2) + "\n")


def sleeping(workers: list[int] | None) -> dict[str, Any]:
    """Evaluations that sleep: linear is one evaluation in half a second for each worker."""
    table = Sleeping(_citation(mixq_rl.PostTrainingEvaluator))
    rows = []
    for count in workers or (8, 16, 32, 64):
        seconds = _seconds(table, count, [(2,) * len(table.components)] * (ROUNDS * count))
        rate = ROUNDS * count / seconds
        rows.append(_row(workers=count, evaluations=ROUNDS * count, seconds=seconds, linear=rate * SLEEP / count))
    return {"seconds_of_an_evaluation": SLEEP, "cpus_of_a_worker": CPUS, "rows": rows}


def fine_tuning(workers: list[int] | None) -> dict[str, Any]:
    """Evaluations that fine-tune: speed-up over the fewest workers, by the fastest of several repeats in turns."""
    torch.set_num_threads(1)
    before = {"cores": os.cpu_count(), "busy_cores": round(_busy_cores(), 2)}  # what else the machine does
    tuning, draw = _citation(mixq_rl.FineTuneEvaluator), random.Random(0)
    allocations = [tuple(draw.choices(tuning.bit_widths, k=len(tuning.components))) for _ in range(TUNED)]
    counts = sorted(workers or (1, 2))
    times: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(REPEATS):
        for count in counts:
            times[count].append(round(_seconds(tuning, count, allocations), 2))
    alone = min(times[counts[0]])
    rows = [
        _row(workers=count, evaluations=TUNED, seconds=min(each), speed_up=alone / min(each))
        | {"seconds_of_repeats": each}
        for count, each in times.items()
    ]
    return {"dataset": "citation", **before, "rows": rows}


STUDIES: dict[str, Callable[[list[int] | None], dict[str, Any]]] = {
    "sleeping": sleeping,
    "fine-tuning": fine_tuning,
    "killing": killing,
}


def _citation(kind: type[mixq_rl.PostTrainingEvaluator] | type[mixq_rl.FineTuneEvaluator]) -> Any:
    """The evaluator of a network for the built-in graph. What its weights are makes no difference here."""
    task = mixq_rl.load_task("citation")
    return kind(mixq_rl.build_model("gcn", task, seed=0), task, seed=0)


def _seconds(evaluator: mixq_rl.Evaluator, count: int, allocations: Sequence[Sequence[int]]) -> float:
    """Return the seconds of all evaluations by workers that are ready and hold the evaluator."""
    with RayWorkers(count, cpus=CPUS) as workers:
        workers.wait(count)
        distributed = RayEvaluator(evaluator, workers)
        distributed.evaluate(allocations[:1] * (2 * count))
        started = time.perf_counter()
        distributed.evaluate(allocations)
        return time.perf_counter() - started


def _busy_cores(seconds: float = 5.0) -> float:
    """Return how many cores all processes of the machine keep busy while this one sleeps, from /proc/stat."""

    def idle() -> float:
        line = Path("/proc/stat").read_text().splitlines()[0].split()
        return sum(map(int, line[4:6])) / os.sysconf("SC_CLK_TCK")

    before = idle()
    time.sleep(seconds)
    return max(0.0, (os.cpu_count() or 1) - (idle() - before) / seconds)


def _row(**numbers: float) -> dict[str, float]:
    row = {name: round(number, 4) for name, number in numbers.items()}
    print(json.dumps(row), flush=True)
    return row


if __name__ == "__main__":
    typer.run(main)
