"""The weight of the labels in fine-tuning, beside the float32 network's predictions for all nodes.

Networks are fine-tuned at uniform 4 and 2 bits with several weights, and executed on integers. On some graphs few nodes
are labelled (about 5 %, as published), on others many (60 %: ``EN``, and new splits of ``Cora`` and ``citation``). None
of the graphs is one of ``benchmarks/allocate.py``. Measurements in ``results/label_weight.jsonl`` are not repeated.
Without ``--network`` the program prints the table of the file:

    python benchmarks/label_weight.py --data-root data --network "EN gcn" --seeds 3
"""

import json
import statistics
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer
from measuring import add_lines, read_lines

import mixq_rl
from mixq_rl.datasets import GraphTask, Split
from mixq_rl.datasets.splits import fraction_split
from mixq_rl.evaluation.measurement import measure_reference
from mixq_rl.training import default_schedule, fine_tune

RESULTS = Path(__file__).parent / "results" / "label_weight.jsonl"
SPLIT_ANEW = ", 60/20/20"
WEIGHTS = (0.1, 0.3, 0.6, 1.0)
BITS = (4, 2)
SPLITS: tuple[Split, ...] = ("validation", "test")


def main(
    network: Annotated[
        list[str] | None, typer.Option(help='Such as "EN gcn" or "Cora, 60/20/20 sage"; repeatable.')
    ] = None,
    seeds: Annotated[int, typer.Option(help="0, 1, ..., so many.")] = 3,
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    for seed in range(seeds):
        for name in network or []:
            if not any({"network": name, "seed": seed}.items() <= run.items() for run in _runs()):
                results = _measure(name, seed, data_root)
                add_lines(RESULTS, "label_weight.py", results)
    _report()


def _task(name: str, data_root: str) -> GraphTask:
    task = mixq_rl.load_task(name.removesuffix(SPLIT_ANEW), data_root)
    if name.endswith(SPLIT_ANEW):
        task = replace(task, masks=fraction_split(task.num_nodes, train=0.6, validation=0.2, seed=0))
    return task


def _measure(name: str, seed: int, data_root: str) -> list[dict[str, Any]]:
    dataset, _, kind = name.rpartition(" ")
    task = _task(dataset, data_root)
    model = mixq_rl.fit(mixq_rl.build_model(kind, task, seed=seed), task, seed=seed)
    evaluator = mixq_rl.PostTrainingEvaluator(model, task, bit_widths=BITS, seed=seed)
    reference = {split: measure_reference(model, task, split=split).accuracy for split in SPLITS}
    labelled = float(task.masks["train"].float().mean())
    results = []
    for bits, weight in product(BITS, WEIGHTS):
        allocation = [bits] * len(evaluator.components)
        schedule = replace(default_schedule("fine-tune", task), label_weight=weight)
        tuned = fine_tune(evaluator.model, task, allocation, seed=seed, schedule=schedule, teacher=evaluator.teacher)
        integers = mixq_rl.IntegerModel.freeze(tuned, allocation)
        change = {split: evaluator.measure(integers, split).accuracy - reference[split] for split in SPLITS}
        results.append({"network": name, "seed": seed, "labelled": labelled, "bits": bits, "weight": weight, **change})
        print(json.dumps(results[-1]), flush=True)
    return results


def _runs() -> list[dict[str, Any]]:
    return read_lines(RESULTS)


def _report() -> None:
    """Print the change against float32 in points, on the validation and on the test split."""
    runs = _runs()
    print("| network | labelled | bits | seeds | " + " | ".join(f"weight {weight:g}" for weight in WEIGHTS) + " |")
    print("| --- | --- | --- | --- |" + " --- |" * len(WEIGHTS))
    for name, bits in dict.fromkeys((run["network"], run["bits"]) for run in runs):
        own = [run for run in runs if (run["network"], run["bits"]) == (name, bits)]
        cells = [name, f"{100 * own[0]['labelled']:.0f} %", str(bits), str(len({run["seed"] for run in own}))]
        for weight in WEIGHTS:
            chosen = [run for run in own if run["weight"] == weight]
            cells.append(" / ".join(f"{100 * _mean(chosen, split):+.1f}" for split in SPLITS))
        print("| " + " | ".join(cells) + " |")


def _mean(runs: list[dict[str, Any]], split: str) -> float:
    return statistics.mean(run[split] for run in runs)


if __name__ == "__main__":
    typer.run(main)
