"""Results of runs: reduction and accuracy of the best point, over seeds and datasets.

Executes ``mixq-rl train``, prints mean and standard deviation, and writes ``results/train.json``:

    python benchmarks/train.py --data-root data --dataset Cora --dataset citation --seed 0 --seed 1 --seed 2
"""

import json
import platform
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from mixq_rl.agents import RunConfig, RunResult, train
from mixq_rl.agents.records.result import Finalist

RESULTS = Path(__file__).parent / "results" / "train.json"
WITHIN = 0.01
PACKAGES = ("mixq-rl", "torch", "torch_geometric", "stable-baselines3", "numpy")


def main(
    dataset: Annotated[list[str], typer.Option(help="Repeatable.")],
    seed: Annotated[list[int], typer.Option(help="Repeatable.")],
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = RunConfig.data_root,
    episodes: int = RunConfig.episodes,
) -> None:
    runs = []
    for name in dataset:
        for number in seed:
            config = RunConfig(dataset=name, seed=number, data_root=data_root, episodes=episodes)
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                result = train(config, Path(folder) / "run")
            runs.append({"dataset": name, "seed": number, **_summary(result, time.perf_counter() - started)})
            print(json.dumps(runs[-1]), flush=True)
        _print_mean(name, [run for run in runs if run["dataset"] == name])
    document = {
        "command": f"python benchmarks/train.py {' '.join(sys.argv[1:])}",
        "date": datetime.now(UTC).date().isoformat(),
        "packages": {package: version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "runs": runs,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")


def _summary(result: RunResult, seconds: float) -> dict[str, Any]:
    networks = {finalist.label: _row(finalist) for finalist in result.finalists}
    # What the front holds, seen with hindsight: nobody can choose by the test split.
    float_accuracy = networks["float32"]["test_accuracy"]
    close = [
        row
        for label, row in networks.items()
        if label.startswith("agent") and row["test_accuracy"] >= float_accuracy - WITHIN
    ]
    hindsight = {"cheapest within 1 point": max(close, key=lambda row: row["reduction"])} if close else {}
    return {
        "seconds": round(seconds, 1),
        "evaluations": result.evaluations,
        "hypervolume": result.hypervolume,
        "networks": {**networks, "best": _row(result.best), **hindsight},
    }


def _row(finalist: Finalist) -> dict[str, Any]:
    return {
        "allocation": list(finalist.evaluation.allocation),
        "validation_accuracy": finalist.evaluation.accuracy,
        "test_accuracy": finalist.test_accuracy,
        "bitops": finalist.evaluation.bitops,
        "reduction": finalist.evaluation.reduction,
        "product_reduction": finalist.evaluation.product_reduction,
    }


def _print_mean(name: str, runs: list[dict[str, Any]]) -> None:
    print(f"{name}, {len(runs)} seeds: mean ± standard deviation")
    shared = [label for label in runs[0]["networks"] if all(label in run["networks"] for run in runs)]
    for label in shared:
        if label.startswith("agent"):
            continue
        rows = [run["networks"][label] for run in runs]
        test = [100 * row["test_accuracy"] for row in rows]
        saved = [row["reduction"] for row in rows]
        spread = (statistics.stdev(test), statistics.stdev(saved)) if len(rows) > 1 else (0.0, 0.0)
        print(
            f"  {label:<24} test {statistics.mean(test):5.2f} ± {spread[0]:.2f} %   "
            f"reduction {statistics.mean(saved):5.2f} ± {spread[1]:.2f}"
        )


if __name__ == "__main__":
    typer.run(main)
