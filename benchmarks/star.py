"""What runs say of their best network, and what the test split says, over datasets and seeds.

Executes ``mixq-rl train`` with its defaults (except the number of episodes), and keeps three changes of the best
network against float32: on validation data, expected from validation data, and on the test split. Runs in
``results/star.jsonl`` are not repeated. Without ``--dataset`` the program prints the table of the file:

    python benchmarks/star.py --data-root data --dataset Cora --dataset PROTEINS --seeds 3
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from measuring import add_lines, read_lines

from mixq_rl.agents import RunConfig, train

RESULTS = Path(__file__).parent / "results" / "star.jsonl"
MODELS = {"PROTEINS": "gin", "MUTAG": "gin", "CSL": "gin"}
CHANGES = ("validation", "expected", "test")


def main(
    dataset: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    bits: Annotated[str, typer.Option(help="Bit-widths on offer.")] = "1,2,4,8",
    episodes: Annotated[int, typer.Option(help="Evaluations of each search.")] = 64,
    seeds: Annotated[int, typer.Option(help="0, 1, ..., so many.")] = 3,
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    for seed in range(seeds):
        for name in dataset or []:
            key = {"dataset": name, "bits": bits, "episodes": episodes, "seed": seed}
            if any(key.items() <= run.items() for run in _runs()):
                continue
            config = RunConfig(
                dataset=name,
                model=MODELS.get(name, "gcn"),
                bits=tuple(map(int, bits.split(","))),
                episodes=episodes,
                seed=seed,
                data_root=data_root,
            )
            result = {**key, **_measure(config)}
            print(json.dumps(result), flush=True)
            add_lines(RESULTS, "star.py", [result])
    _report()


def _measure(config: RunConfig) -> dict[str, Any]:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = train(config, Path(folder) / "run")
    float32, best, change = result.finalists[0], result.best, result.change
    assert change is not None
    return {
        "model": config.model,
        "reduction": best.evaluation.reduction,
        "float_test": float32.test_accuracy,
        "validation": best.evaluation.accuracy - float32.evaluation.accuracy,
        "expected": change.expected,
        "low": change.low,
        "high": change.high,
        "test": best.test_accuracy - float32.test_accuracy,
        "counts": dict(result.counts),
        "seconds": round(time.perf_counter() - started, 1),
    }


def _runs() -> list[dict[str, Any]]:
    return read_lines(RESULTS)


def _report() -> None:
    print("| network | bits | runs | reduction | " + " | ".join(CHANGES) + " | expected - test | its size | held |")
    print("| --- |" + " --- |" * 9)
    runs = _runs()
    kinds = list(dict.fromkeys((run["dataset"], run["model"], run["bits"]) for run in runs))
    for kind in kinds:
        _print_row(" ".join(kind[:2]), kind[2], [r for r in runs if (r["dataset"], r["model"], r["bits"]) == kind])
    if runs:
        _print_row("**all**", "", runs)


def _print_row(name: str, bits: str, runs: list[dict[str, Any]]) -> None:
    def over(value: Callable[[dict[str, Any]], float], form: str = "+.1f") -> str:
        values = [value(run) for run in runs]
        spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        return f"{statistics.mean(values):{form}}{spread}"

    cells = [name, bits, str(len(runs)), over(lambda run: run["reduction"], ".1f") + "×"]
    cells += [over(lambda run, name=name: 100 * run[name]) for name in CHANGES]
    cells.append(f"{statistics.mean(100 * (run['expected'] - run['test']) for run in runs):+.2f}")
    cells.append(f"{statistics.mean(abs(100 * (run['expected'] - run['test'])) for run in runs):.2f}")
    cells.append(f"{sum(run['low'] <= run['test'] <= run['high'] for run in runs)} of {len(runs)}")
    print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    typer.run(main)
