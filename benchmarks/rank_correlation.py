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
from mixq_rl.quantization import check_bit_widths
from mixq_rl.training import default_schedule, fit

RESULTS = Path(__file__).parent / "results" / "rank_correlation.jsonl"
FIGURE = Path(__file__).parent.parent / "docs" / "rank_correlation.png"


def main(
    dataset: Annotated[str | None, typer.Option(help="A name, or nothing.")] = None,
    model: str = "gcn",
    allocations: int = 100,
    seed: int = 0,
    bits: Annotated[str, typer.Option(help="Bit-widths on offer.")] = "2,4,8",
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    if dataset is not None:
        _measure(dataset, model, allocations, seed, bits, data_root)
    _report()


def _measure(dataset: str, name: str, count: int, seed: int, bits: str, data_root: str) -> None:
    offered = check_bit_widths([int(width) for width in bits.split(",")])
    task = mixq_rl.load_task(dataset, data_root)
    model = fit(mixq_rl.build_model(name, task, seed=seed), task, seed=seed)
    supernet = mixq_rl.SupernetEvaluator(model, task, bit_widths=offered, seed=seed)
    epochs = default_schedule("fine-tune", task).epochs
    full = mixq_rl.FineTuneEvaluator(model, task, bit_widths=offered, seed=seed, epochs=epochs)
    draw = random.Random(seed)
    key = {"dataset": dataset, "model": name, "seed": seed, "bits": list(offered)}
    known = [run["allocation"] for run in _runs() if key.items() <= run.items()]
    for _ in range(count):
        allocation = [draw.choice(offered) for _ in supernet.components]
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
    problems = sorted({(run["dataset"], run["model"], tuple(run["bits"])) for run in runs})
    figure, axes = plt.subplots(1, len(problems), figsize=(3.2 * len(problems), 3.3), squeeze=False)
    for axis, problem in zip(axes[0], problems, strict=True):
        own = [run for run in runs if (run["dataset"], run["model"], tuple(run["bits"])) == problem]
        foretold, reached = ([100 * run[name] for run in own] for name in ("supernet", "trained"))
        correlation = float(spearmanr(foretold, reached).statistic)
        dataset, model, offered = problem
        widths = ",".join(str(width) for width in offered)
        print(f"{dataset} {model}, bits {widths}: Spearman {correlation:.3f} over {len(own)} allocations")
        axis.scatter(foretold, reached, s=12, alpha=0.6)
        axis.set_title(f"{dataset}, {model}, bits {widths}\nρ = {correlation:.2f}", fontsize=9)
        axis.set_xlabel("supernet, validation %")
    axes[0][0].set_ylabel("trained for itself, validation %")
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=150)


if __name__ == "__main__":
    typer.run(main)
