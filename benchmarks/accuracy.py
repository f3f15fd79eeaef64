"""Accuracy in float32 and after uniform quantization-aware training, over seeds, with published accuracies.

Each run trains a network in float32, fine-tunes it at uniform 8 and uniform 4 bits, and executes both on integers on
the test split. Seeds are the folds of datasets that have folds. Each finished run is added to
``results/accuracy.jsonl``; runs in this file are not repeated. Without ``--model`` and ``--dataset`` the program prints
the tables of the file:

    python benchmarks/accuracy.py --data-root data --dataset Cora --dataset PROTEINS --model gcn --model gin --seeds 5
"""

import json
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from measuring import add_lines, read_lines

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.evaluation.measurement import measure_reference
from mixq_rl.quantization import schemes
from mixq_rl.training import calibrate, class_probabilities, fine_tune, fit

RESULTS = Path(__file__).parent / "results" / "accuracy.jsonl"
BITS = (8, 4)
WITHIN = {8: 0.5, 4: 1.5}
FOLDS = {"PROTEINS": 10, "MUTAG": 10, "CSL": 5}
PUBLISHED = {
    ("Cora", "gcn"): "81.5 (Kipf and Welling)",
    ("Cora", "gat"): "83.0 ± 0.7 (Veličković et al.)",
    ("Cora", "sage"): "77.93 at 1.95 GBitOPs (MixQ-GNN)",
    ("CiteSeer", "gcn"): "70.3 (Kipf and Welling)",
    ("PROTEINS", "gin"): "70.46 ± 4.24 (MixQ-GNN)",
    ("CSL", "gin"): "99.40 ± 1.28 (MixQ-GNN)",
}


def main(
    dataset: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None,
    seeds: Annotated[int, typer.Option(help="0, 1, ..., so many.")] = 5,
    scheme: Annotated[str, typer.Option(help=f"{', '.join(schemes)}.")] = "lsq",
    labels_only: Annotated[bool, typer.Option("--labels-only", help="Train without distillation.")] = False,
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    scheme = f"{scheme}, labels only" if labels_only else scheme
    for seed in range(seeds):
        for name in dataset or []:
            for network in model or []:
                key = {"dataset": name, "model": network, "seed": seed, "scheme": scheme}
                if any(key.items() <= run.items() for run in _runs()):
                    continue
                result = {**key, **_run(name, network, seed, scheme, data_root)}
                print(json.dumps(result), flush=True)
                add_lines(RESULTS, "accuracy.py", [result])
    for known in dict.fromkeys(run["scheme"] for run in _runs()):
        _print_table(known, [run for run in _runs() if run["scheme"] == known])


def _runs() -> list[dict[str, Any]]:
    return read_lines(RESULTS)


def _run(dataset: str, name: str, seed: int, scheme: str, data_root: str) -> dict[str, Any]:
    task = mixq_rl.load_task(dataset, data_root, fold=seed % FOLDS[dataset] if dataset in FOLDS else None)
    started = time.perf_counter()
    model = mixq_rl.build_model(name, task, seed=seed)
    fit(model, task, seed=seed)
    accuracy = {"float32": 100 * measure_reference(model, task, split="test").accuracy}
    known, *labels_only = scheme.split(", ")
    teacher = None if labels_only else class_probabilities(model, task)
    calibrate(model, task, BITS, schemes[known])
    for bits in BITS:
        allocation = [bits] * len(model.quantizers)
        tuned = fine_tune(model, task, allocation, teacher=teacher, seed=seed)
        accuracy[str(bits)] = 100 * _on_integers(mixq_rl.IntegerModel.freeze(tuned, allocation), task)
    return {"test_accuracy": accuracy, "seconds": round(time.perf_counter() - started, 1)}


def _on_integers(model: mixq_rl.IntegerModel, task: GraphTask) -> float:
    inputs = task.inputs("test")
    integers = model.execute(model.quantize_features(inputs.x), model.quantize_graph(inputs.graph))
    return task.accuracy(integers.dequantize(), "test")


def _print_table(scheme: str, runs: list[dict[str, Any]]) -> None:
    if not runs:
        return
    print(
        f"\n{scheme}: test accuracy in %, mean ± standard deviation; change against float32 of the same seed in points"
    )
    print("| dataset | model | seeds | float32 | published | 8 bits | change | 4 bits | change |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    cells = sorted({(run["dataset"], run["model"]) for run in runs})
    for cell in cells:
        own = [run["test_accuracy"] for run in runs if (run["dataset"], run["model"]) == cell]
        entries = [str(len(own)), _spread([accuracy["float32"] for accuracy in own]), PUBLISHED.get(cell, "")]
        for bits in BITS:
            change = statistics.mean(accuracy[str(bits)] - accuracy["float32"] for accuracy in own)
            missed = "" if change >= -WITHIN[bits] else f" (missed: {WITHIN[bits]})"
            entries += [_spread([accuracy[str(bits)] for accuracy in own]), f"{change:+.2f}{missed}"]
        print("| " + " | ".join([*cell, *entries]) + " |")


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values) if len(values) > 1 else 0:.2f}"


if __name__ == "__main__":
    typer.run(main)
