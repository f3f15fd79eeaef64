"""Training on parts of a graph against training on the whole graph: accuracy and time.

    python benchmarks/sampled.py --data-root data --dataset Facebook --model sage --seeds 3

Each run trains a network in float32, and fine-tunes it at uniform 8 and uniform 4 bits after calibration. All networks
are measured on the test split of the whole graph. Each finished run is added to the part ``sampled`` of
``results/scale.json``; runs in this file are not repeated. ``seconds`` are CPU seconds of the process.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from measuring import circumstances

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.training import calibrate, class_probabilities, fine_tune, fit, with_mini_batches

RESULTS = Path(__file__).parent / "results" / "scale.json"
BITS = (8, 4)


def main(
    dataset: Annotated[list[str], typer.Option(help="Repeatable.")],
    model: Annotated[list[str], typer.Option(help="Repeatable.")],
    seeds: Annotated[int, typer.Option(help="0, 1, ..., so many.")] = 3,
    batch_size: Annotated[list[int] | None, typer.Option(help="Seed nodes; 0: the whole graph. Repeatable.")] = None,
    num_neighbors: Annotated[str, typer.Option(help="Neighbours of each hop.")] = "10,5",
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    torch.set_num_threads(1)
    for name in dataset:
        whole = mixq_rl.load_task(name, data_root)
        for seed in range(seeds):
            for network in model:
                for size in batch_size or [0, 512]:
                    numbers = num_neighbors if size else "all"
                    key = {"dataset": name, "model": network, "batch_size": size, "neighbors": numbers, "seed": seed}
                    if not any(key.items() <= run.items() for run in _document().get("sampled", [])):
                        _add({**key, **_run(whole, network, size, numbers, seed)})


def _run(whole: GraphTask, network: str, size: int, numbers: str, seed: int) -> dict[str, Any]:
    model = mixq_rl.build_model(network, whole, seed=seed)
    given = [int(number) for number in numbers.split(",")] if size else None
    task = with_mini_batches(whole, model, batch_size=size, num_neighbors=given)
    started = time.process_time()
    fit(model, task, seed=seed)
    seconds = {"float32": time.process_time() - started}
    accuracy = {"float32": _accuracy(model, whole)}
    teacher = class_probabilities(model, task)
    calibrate(model, task, BITS)
    for bits in BITS:
        started = time.process_time()
        tuned = fine_tune(model, task, [bits] * len(model.quantizers), teacher=teacher, seed=seed)
        seconds[str(bits)] = time.process_time() - started
        accuracy[str(bits)] = _accuracy(tuned, whole)
    return {"test_accuracy": accuracy, "seconds": {name: round(taken, 1) for name, taken in seconds.items()}}


def _accuracy(model: mixq_rl.QuantizableModel, task: GraphTask) -> float:
    inputs = task.inputs("test")
    with model.evaluating():
        return round(100 * task.accuracy(model(inputs.x, inputs.graph), "test"), 2)


def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return document


def _add(run: dict[str, Any]) -> None:
    print(json.dumps(run), flush=True)
    document = _document()
    document.setdefault("sampled", []).append({**run, **circumstances("sampled.py")})
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
