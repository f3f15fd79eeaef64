"""Time and accuracy of ``mixq-rl allocate`` on graphs that its policy was not trained on.

For each seed a network is trained in float32, and the policy of the package chooses its bit-widths. This choice is
timed. Then the allocation is fine-tuned by quantization-aware training and executed on integers on the test split.
Measurements in ``results/allocate.jsonl`` are not repeated. Without ``--dataset`` the program prints the table of the
file:

    python benchmarks/allocate.py --data-root data --dataset CiteSeer --dataset PT --dataset Facebook --seeds 3
"""

import hashlib
import json
import statistics
import time
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
from measuring import circumstances

import mixq_rl
from mixq_rl.agents import EvaluatorConfig
from mixq_rl.agents.allocation import PREFERENCE
from mixq_rl.evaluation.measurement import measure_reference

RESULTS = Path(__file__).parent / "results" / "allocate.jsonl"


def main(
    dataset: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    model: Annotated[str, typer.Option(help="Kind of layers.")] = "gcn",
    preference: Annotated[float, typer.Option(help="Of mixq-rl allocate.")] = PREFERENCE,
    bits: Annotated[str, typer.Option(help="Bit-widths on offer.")] = "2,4,8",
    seeds: Annotated[int, typer.Option(help="0, 1, ..., so many.")] = 3,
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    for name in dataset or []:
        for seed in range(seeds):
            key = {"dataset": name, "model": model, "preference": preference, "seed": seed, "policy": package_policy()}
            key["bits"] = bits
            if not any(key.items() <= run.items() for run in _runs()):
                result = _measure(name, model, preference, seed, bits, data_root)
                print(json.dumps({**key, **result}), flush=True)
                with RESULTS.open("a") as file:
                    file.write(json.dumps({**key, **result, **circumstances("allocate.py")}) + "\n")
    _report()


def package_policy(folder: str | None = None) -> str:
    """Return what tells the policy of a folder, or that of the package, from others."""
    place = files("mixq_rl.agents.ppo") / "pretrained" if folder is None else Path(folder)
    return hashlib.sha256((place / "policy.safetensors").read_bytes()).hexdigest()[:12]


def _measure(dataset: str, model: str, preference: float, seed: int, bits: str, data_root: str) -> dict[str, Any]:
    offered = [int(width) for width in bits.split(",")]
    config = EvaluatorConfig(dataset=dataset, model=model, seed=seed, data_root=data_root)
    task, network = config.load()
    mixq_rl.fit(network, task, seed=seed)
    started = time.perf_counter()
    allocation = mixq_rl.allocate(network, task, preference=preference, bit_widths=offered)
    seconds = time.perf_counter() - started
    evaluator = mixq_rl.PostTrainingEvaluator(network, task, bit_widths=offered, seed=seed)
    tuned = evaluator.fine_tune(allocation, seed=seed)
    return {
        "seconds": seconds,
        "allocation": list(allocation),
        "reduction": evaluator.measure(tuned, "test").reduction,
        "float_accuracy": measure_reference(network, task, split="test").accuracy,
        "accuracy": evaluator.measure(tuned, "test").accuracy,
    }


def _runs() -> list[dict[str, Any]]:
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return [{"bits": "2,4,8", **json.loads(line)} for line in lines]


def _report() -> None:
    print("| network | bits | preference | seeds | seconds | reduction | float32 test % | test % | lost |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    runs = [run for run in _runs() if run["policy"] == package_policy()]
    kinds = [(r["dataset"], r["model"], r["bits"], r["preference"]) for r in runs]
    for name, model, bits, preference in dict.fromkeys(kinds):
        own = [run for run, kind in zip(runs, kinds, strict=True) if kind == (name, model, bits, preference)]
        lost = [100 * (run["float_accuracy"] - run["accuracy"]) for run in own]
        cells = [
            f"{name} {model}",
            bits,
            f"{preference:g}",
            str(len(own)),
            f"{max(run['seconds'] for run in own):.1f} at most",
            _text([run["reduction"] for run in own], "×"),
            _text([100 * run["float_accuracy"] for run in own]),
            _text([100 * run["accuracy"] for run in own]),
            _text(lost),
        ]
        print("| " + " | ".join(cells) + " |")


def _text(values: list[float], unit: str = "") -> str:
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{unit}{deviation}"


if __name__ == "__main__":
    typer.run(main)
