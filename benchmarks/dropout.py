"""Dropout in fine-tuning: constant, fading out, or none.

Networks are fine-tuned at uniform 4 and 2 bits, and executed on integers. Measurements in ``results/dropout.jsonl`` are
not repeated. Without ``--network`` the program prints the table of the file:

    python benchmarks/dropout.py --data-root data --network "Cora gcn" --seeds 4
"""

import json
import statistics
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import product
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import typer
from measuring import add_lines, read_lines
from torch import nn

import mixq_rl
from mixq_rl.datasets import Split
from mixq_rl.evaluation.measurement import measure_reference
from mixq_rl.training import fine_tune, fine_tuning
from mixq_rl.training.dropout import fading_dropout
from mixq_rl.training.loop import Progress

RESULTS = Path(__file__).parent / "results" / "dropout.jsonl"
BITS = (4, 2)
SPLITS: tuple[Split, ...] = ("validation", "test")


@contextmanager
def constant(model: nn.Module, progress: Progress | None) -> Iterator[Progress | None]:
    yield progress


@contextmanager
def without(model: nn.Module, progress: Progress | None) -> Iterator[Progress | None]:
    with fading_dropout(model, None) as fade:
        fade(1, 1)
        yield progress


KINDS = {"constant": constant, "fading": fading_dropout, "none": without}


def main(
    network: Annotated[list[str] | None, typer.Option(help='Such as "EN gcn"; repeatable.')] = None,
    seeds: Annotated[int, typer.Option(help="0, 1, ..., so many.")] = 3,
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    for seed in range(seeds):
        for name in network or []:
            if not any({"network": name, "seed": seed}.items() <= run.items() for run in _runs()):
                results = _measure(name, seed, data_root)
                add_lines(RESULTS, "dropout.py", results)
    _report()


def _measure(name: str, seed: int, data_root: str) -> list[dict[str, Any]]:
    dataset, _, kind = name.rpartition(" ")
    task = mixq_rl.load_task(dataset, data_root)
    model = mixq_rl.fit(mixq_rl.build_model(kind, task, seed=seed), task, seed=seed)
    evaluator = mixq_rl.PostTrainingEvaluator(model, task, bit_widths=BITS, seed=seed)
    reference = {split: measure_reference(model, task, split=split).accuracy for split in SPLITS}
    results = []
    for bits, dropout in product(BITS, KINDS):
        allocation = [bits] * len(evaluator.components)
        with _dropout(dropout):
            tuned = fine_tune(evaluator.model, task, allocation, seed=seed, teacher=evaluator.teacher)
        integers = mixq_rl.IntegerModel.freeze(tuned, allocation)
        change = {split: evaluator.measure(integers, split).accuracy - reference[split] for split in SPLITS}
        results.append({"network": name, "seed": seed, "bits": bits, "dropout": dropout, **change})
        print(json.dumps(results[-1]), flush=True)
    return results


def _dropout(kind: str) -> AbstractContextManager[Any]:
    return mock.patch.object(fine_tuning, "fading_dropout", KINDS[kind])


def _runs() -> list[dict[str, Any]]:
    return read_lines(RESULTS)


def _report() -> None:
    """Print the change against float32 in points, on the validation and on the test split."""
    runs = _runs()
    print("| network | bits | seeds | " + " | ".join(KINDS) + " |")
    print("| --- | --- | --- |" + " --- |" * len(KINDS))
    for name, bits in dict.fromkeys((run["network"], run["bits"]) for run in runs):
        own = [run for run in runs if (run["network"], run["bits"]) == (name, bits)]
        cells = [name, str(bits), str(len({run["seed"] for run in own}))]
        for kind in KINDS:
            chosen = [run for run in own if run["dropout"] == kind]
            means = [100 * statistics.mean(run[split] for run in chosen) for split in SPLITS]
            cells.append(" / ".join(f"{mean:+.1f}" for mean in means))
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    typer.run(main)
