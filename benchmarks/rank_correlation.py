"""Does the supernet's accuracy foretell that of full training? Spearman's correlation over random allocations.

Every allocation is evaluated with the supernet's weights, and again after quantization-aware training of its own from
the calibrated float model, which shares nothing with the supernet; both on integers, on validation data. Allocations
already in ``results/rank_correlation.jsonl`` are not repeated. Without ``--dataset`` it prints and draws what is there:

    python benchmarks/rank_correlation.py --data-root data --dataset Cora --model gcn
"""

import json
import random
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import typer
from measuring import circumstances
from scipy.stats import spearmanr

import mixq_rl
from mixq_rl.training import default_schedule, fit

RESULTS = Path(__file__).parent / "results" / "rank_correlation.jsonl"
FIGURE = Path(__file__).parent.parent / "docs" / "rank_correlation.png"
BIT_WIDTHS = (2, 4, 8)


def main(
    dataset: Annotated[str | None, typer.Option(help="A name, or nothing.")] = None,
    model: str = "gcn",
    allocations: int = 100,
    seed: int = 0,
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    if dataset is not None:
        _measure(dataset, model, allocations, seed, data_root)
    _report()


def _measure(dataset: str, name: str, count: int, seed: int, data_root: str) -> None:
    task = mixq_rl.load_task(dataset, data_root)
    model = fit(mixq_rl.build_model(name, task, seed=seed), task, seed=seed)
    supernet = mixq_rl.SupernetEvaluator(model, task, bit_widths=BIT_WIDTHS, seed=seed)
    epochs = default_schedule("fine-tune", task).epochs
    full = mixq_rl.FineTuneEvaluator(model, task, bit_widths=BIT_WIDTHS, seed=seed, epochs=epochs)
    draw = random.Random(seed)
    key = {"dataset": dataset, "model": name, "seed": seed}
    known = [run["allocation"] for run in _runs() if key.items() <= run.items()]
    for _ in range(count):
        allocation = [draw.choice(BIT_WIDTHS) for _ in supernet.components]
        if allocation in known:
            continue
        (foretold,), (reached,) = supernet.evaluate([allocation]), full.evaluate([allocation])
        result = {"allocation": allocation, "supernet": foretold.accuracy, "trained": reached.accuracy}
        with RESULTS.open("a") as file:
            file.write(json.dumps({**key, **result, **circumstances("rank_correlation.py")}) + "\n")


def _runs() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def _report() -> None:
    runs = _runs()
    problems = sorted({(run["dataset"], run["model"]) for run in runs})
    figure, axes = plt.subplots(1, len(problems), figsize=(3.2 * len(problems), 3.3), squeeze=False)
    for axis, (dataset, model) in zip(axes[0], problems, strict=True):
        own = [run for run in runs if (run["dataset"], run["model"]) == (dataset, model)]
        foretold, reached = ([100 * run[name] for run in own] for name in ("supernet", "trained"))
        correlation = float(spearmanr(foretold, reached).statistic)
        print(f"{dataset} {model}: Spearman {correlation:.3f} over {len(own)} allocations")
        axis.scatter(foretold, reached, s=12, alpha=0.6)
        axis.set_title(f"{dataset}, {model}: ρ = {correlation:.2f}")
        axis.set_xlabel("supernet, validation %")
    axes[0][0].set_ylabel("trained for itself, validation %")
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=150)


if __name__ == "__main__":
    typer.run(main)
