"""What a short fine-tuning says about the network after its whole fine-tuning, for ``mixq-rl allocate --max-drop``.

On each task a network is trained in float32. The allocations that the policy of the package proposes are fine-tuned for
a short time, and some of them for the whole time too. The files have the answers that each changed on the validation
and the test split. Tasks in ``results/allocate_confidence.jsonl`` are not repeated:

    python benchmarks/allocate_confidence.py --data-root data --measure
"""

import hashlib
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from measuring import circumstances

import mixq_rl
from mixq_rl.agents.allocation import pretrained
from mixq_rl.datasets import GraphTask, Split
from mixq_rl.datasets.citation import load_citation
from mixq_rl.envs import TradeOff
from mixq_rl.evaluation.measurement import float_execution
from mixq_rl.integer.model import IntegerModel

RESULTS = Path(__file__).parent / "results" / "allocate_confidence.jsonl"
SHORT = 20
WHOLE = 6
TASKS = [
    ("citation-1", "gcn", 0),
    ("Cora", "gcn", 0),
    ("EN", "gcn", 0),
    ("citation-2", "sage", 0),
    ("Cora", "sage", 1),
    ("citation-3", "gcn", 1),
    ("EN", "sage", 1),
    ("citation-4", "sage", 1),
    ("Cora", "gcn", 2),
    ("citation-5", "gcn", 2),
    ("EN", "gcn", 2),
    ("citation-6", "sage", 2),
    ("Cora", "sage", 3),
    ("citation-7", "gcn", 3),
    ("EN", "sage", 3),
    ("citation-8", "gcn", 4),
]


def load(graph: str, data_root: str) -> GraphTask:
    name, _, seed = graph.partition("-")
    return load_citation(seed=int(seed)) if seed else mixq_rl.load_task(name, data_root)


def _policy() -> str:
    return hashlib.sha256((files("mixq_rl.agents.ppo") / "pretrained" / "policy.safetensors").read_bytes()).hexdigest()[
        :12
    ]


def _measure(graph: str, model: str, seed: int, data_root: str) -> dict[str, Any]:
    task = load(graph, data_root)
    network = mixq_rl.fit(mixq_rl.build_model(model, task, seed=seed), task, seed=seed)
    evaluator = mixq_rl.PostTrainingEvaluator(network, task, seed=seed)
    floating = {split: float_execution(network, task, split)() for split in ("validation", "test")}
    highest = (evaluator.bit_widths[-1],) * len(evaluator.components)
    proposed = {*pretrained().sweep(evaluator, reward=TradeOff()), highest}
    untrained = {each.allocation: each for each in evaluator.evaluate(list(proposed))}
    ordered = sorted(proposed, key=lambda allocation: untrained[allocation].bitops)
    whole = {ordered[round(place)] for place in np.linspace(0, len(ordered) - 1, WHOLE)}

    def changed(integer: IntegerModel, split: Split) -> list[int]:
        return list(_changed(task, floating[split], _logits(task, integer, split), split))

    rows = []
    for allocation in ordered:
        calibrated = evaluator.freeze(allocation)
        short = evaluator.fine_tune(allocation, seed=seed, epochs=SHORT)
        row = {
            "allocation": list(allocation),
            "reduction": untrained[allocation].reduction,
            "calibrated": changed(calibrated, "validation"),
            "divergence": _divergence(floating["validation"], _logits(task, calibrated, "validation")),
            "short": changed(short, "validation"),
        }
        if allocation in whole:
            tuned = evaluator.fine_tune(allocation, seed=seed)
            row["whole"] = [changed(tuned, "validation"), changed(tuned, "test")]
            row["short_test"] = changed(short, "test")
        rows.append(row)
    return {
        "items": [int(task.masks[split].sum()) for split in ("validation", "test")],
        "float_accuracy": [task.accuracy(floating[split], split) for split in ("validation", "test")],
        "components": [
            {
                "name": each.name,
                "macs": each.macs,
                "sqnr": [each.statistics[f"sqnr_{bits}"] for bits in evaluator.bit_widths],
            }
            for each in evaluator.components
        ],
        "rows": rows,
    }


def _logits(task: GraphTask, model: IntegerModel, split: Split) -> torch.Tensor:
    inputs = task.inputs(split)
    return model.execute(model.quantize_features(inputs.x), model.quantize_graph(inputs.graph)).dequantize()


def _changed(task: GraphTask, before: torch.Tensor, after: torch.Tensor, split: Split) -> Iterator[int]:
    """Yield the numbers of items that were wrong and are right, and that were right and are wrong."""
    mask = task.masks[split]
    rows = mask if task.kind == "node" else slice(None)
    right = [logits[rows].argmax(dim=1) == task.y[mask] for logits in (before, after)]
    yield int((~right[0] & right[1]).sum())
    yield int((right[0] & ~right[1]).sum())


def _divergence(before: torch.Tensor, after: torch.Tensor) -> float:
    """Return the mean Kullback-Leibler divergence of the answers from those of float32, over all rows."""
    first, second = (logits.double().log_softmax(dim=1) for logits in (before, after))
    return float((first.exp() * (first - second)).sum(dim=1).mean())


def _runs() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def main(
    measure: Annotated[bool, typer.Option(help="Measure the tasks that the file does not have.")] = False,
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    for graph, model, seed in TASKS if measure else []:
        key = {"graph": graph, "model": model, "seed": seed}
        if not any(key.items() <= run.items() for run in _runs()):
            result = {"policy": _policy(), **_measure(graph, model, seed, data_root)}
            with RESULTS.open("a") as file:
                file.write(json.dumps({**key, **result, **circumstances("allocate_confidence.py")}) + "\n")
            print(key, flush=True)


if __name__ == "__main__":
    typer.run(main)
