"""Spearman's correlation between the accuracy with the supernet and after separate training, over random allocations.

Each allocation is evaluated with the supernet's weights, and again after its own quantization-aware training from the
calibrated float model, which shares nothing with the supernet. Both run on integers, on validation data. Trainings of
one allocation differ by their seeds. With several trainings the supernet predicts their mean, and the correlation
between two trainings shows how much the noise of a single one leaves to predict. Measurements in
``results/rank_correlation.jsonl`` are not repeated. Without ``--dataset`` the program prints and draws those of the
file:

    python benchmarks/rank_correlation.py --data-root data --dataset Cora --model gcn --trainings 3
"""

import json
import random
import statistics
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import typer
from measuring import circumstances, read_lines
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
    trainings: Annotated[int, typer.Option(help="Of each allocation, seeds 0, 1, ...")] = 1,
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    if dataset is not None:
        offered = check_bit_widths([int(width) for width in bits.split(",")])
        _measure(dataset, model, allocations, seed, offered, trainings, data_root)
    _report()


def _measure(
    dataset: str, name: str, count: int, seed: int, offered: tuple[int, ...], trainings: int, data_root: str
) -> None:
    task = mixq_rl.load_task(dataset, data_root)
    model = fit(mixq_rl.build_model(name, task, seed=seed), task, seed=seed)
    supernet = mixq_rl.SupernetEvaluator(model, task, bit_widths=offered, seed=seed)
    epochs = default_schedule("fine-tune", task).epochs
    for training in range(trainings):
        full = mixq_rl.FineTuneEvaluator(model, task, bit_widths=offered, seed=seed + training, epochs=epochs)
        key = {"dataset": dataset, "model": name, "seed": seed, "bits": list(offered), "training": training}
        known = [run["allocation"] for run in _runs() if key.items() <= run.items()]
        draw = random.Random(seed)
        for _ in range(count):
            allocation = [draw.choice(offered) for _ in supernet.components]
            if allocation in known:
                continue
            (predicted,), (reached,) = supernet.evaluate([allocation]), full.evaluate([allocation])
            result = {"allocation": allocation, "supernet": predicted.accuracy, "trained": reached.accuracy}
            with RESULTS.open("a") as file:
                file.write(json.dumps({**key, **result, **circumstances("rank_correlation.py")}) + "\n")


def _runs() -> list[dict[str, Any]]:
    return read_lines(RESULTS)


def _report() -> None:
    runs = _runs()
    problems = sorted({(run["dataset"], run["model"], tuple(run["bits"])) for run in runs})
    figure, axes = plt.subplots(1, len(problems), figsize=(3.2 * len(problems), 3.3), squeeze=False)
    for axis, problem in zip(axes[0], problems, strict=True):
        own = [run for run in runs if (run["dataset"], run["model"], tuple(run["bits"])) == problem]
        trainings = sorted({run["training"] for run in own})
        reached: dict[tuple[int, ...], dict[int, float]] = {}
        supernet: dict[tuple[int, ...], float] = {}
        for run in own:
            allocation = tuple(run["allocation"])
            reached.setdefault(allocation, {})[run["training"]] = 100 * run["trained"]
            if run["training"] == 0:
                supernet[allocation] = 100 * run["supernet"]
        complete = [allocation for allocation, by_seed in reached.items() if len(by_seed) == len(trainings)]
        predicted = [supernet[allocation] for allocation in complete]
        trained = [statistics.mean(reached[allocation].values()) for allocation in complete]
        dataset, model, offered = problem
        widths = ",".join(str(width) for width in offered)
        correlation = _spearman(predicted, trained)
        print(
            f"{dataset} {model}, bits {widths}: Spearman {correlation:.3f} over {len(complete)} allocations, "
            f"with the mean of {len(trainings)} trainings each"
        )
        if len(trainings) > 1:
            single = [[reached[allocation][training] for allocation in complete] for training in trainings]
            of_one = [_spearman(predicted, values) for values in single]
            among = [_spearman(left, right) for left, right in combinations(single, 2)]
            print(
                f"    with each training {', '.join(f'{value:.3f}' for value in of_one)}; "
                f"of one training with another {', '.join(f'{value:.3f}' for value in among)}"
            )
        axis.scatter(predicted, trained, s=12, alpha=0.6)
        axis.set_title(f"{dataset}, {model}, bits {widths}\nρ = {correlation:.2f}", fontsize=9)
        axis.set_xlabel("supernet, validation %")
    axes[0][0].set_ylabel("trained for itself, validation %")
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=150)


def _spearman(left: list[float], right: list[float]) -> float:
    return float(spearmanr(left, right).statistic)


if __name__ == "__main__":
    typer.run(main)
