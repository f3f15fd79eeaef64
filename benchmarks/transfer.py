"""Trained policies on new tasks, against searches from scratch.

A policy is trained on two-layer networks for citation, Cora and EN at 2, 4 and 8 bits: on GCNs, and for study (d) on
GCNs and GINs. Five studies use it on other tasks: other graphs (a), other layers (b), deeper networks (c),
classification of whole graphs (d), other bit-widths (e). All searches of a task use evaluations of the same supernet.
Measurements in ``results/transfer.jsonl`` are not repeated; networks and evaluations are kept below ``--work``. Without
``--study`` the program prints the tables and draws the figure of the file:

    python benchmarks/transfer.py --data-root data --study a --study b --seeds 5
"""

import json
import statistics
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import typer
from measuring import add_lines, read_lines

from mixq_rl import BudgetSpent, EvaluationStore, Ledger, PreparationCache
from mixq_rl.agents import EvaluatorConfig, PPOAgent, SearchProblem, hypervolume, run_search
from mixq_rl.agents.comparison import estimate
from mixq_rl.envs import BitAllocationEnv
from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.evaluation.protocol import Evaluation

RESULTS = Path(__file__).parent / "results" / "transfer.jsonl"
FIGURE = Path(__file__).parent.parent / "docs" / "transfer.png"
SIX_WIDTHS = (1, 2, 3, 4, 6, 8)


def gcn(dataset: str, **options: Any) -> EvaluatorConfig:
    return EvaluatorConfig(dataset=dataset, model="gcn", **options)


# Each network twice, of other width and from other weights: what one supernet happens to like is not to be learned.
SOURCES = {
    "gcn": [
        gcn(name, **variant)
        for name in ("citation", "Cora", "EN")
        for variant in ({}, {"hidden_channels": 16, "seed": 1})
    ]
}
SOURCES["gcn and gin"] = [replace(config, model=model) for model in ("gcn", "gin") for config in SOURCES["gcn"]]


@dataclass(frozen=True)
class Study:
    """What policies are tried on, and what they learned on: a name of ``SOURCES``."""

    title: str
    targets: list[EvaluatorConfig]
    sources: str = "gcn"


STUDIES = {
    "a": Study("other graphs", [gcn("CiteSeer"), gcn("PT"), gcn("Facebook")]),
    "b": Study("other layers", [EvaluatorConfig(dataset="Cora", model=model) for model in ("sage", "gin", "gat")]),
    "c": Study("deeper networks", [gcn("Cora", num_layers=layers) for layers in (3, 4, 5)]),
    "d": Study(
        "whole graphs",
        [EvaluatorConfig(dataset=dataset, model="gin") for dataset in ("PROTEINS", "MUTAG", "CSL")],
        sources="gcn and gin",
    ),
    "e": Study("other bit-widths", [gcn(name, bits=SIX_WIDTHS) for name in ("citation", "Cora", "CiteSeer")]),
}
EPISODES = 256
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
BUDGETS = {"zero-shot": 16, "fine-tuned": 128, "ppo": 512, "tpe": 256, "random": 128}


class Workplace:
    """Prepared networks and evaluations, kept from run to run."""

    def __init__(self, folder: Path, data_root: str) -> None:
        self._cache = PreparationCache(folder / "prepared")
        self.store = EvaluationStore(folder / "transfer.sqlite")
        self._data_root = data_root
        self.evaluator = cache(self._evaluator)

    def _evaluator(self, config: EvaluatorConfig) -> tuple[IntegerEvaluator, float]:
        """Return the evaluator of a task, and the accuracy of its majority class."""
        config = replace(config, data_root=self._data_root)
        task, model = config.load()
        prepared = config.prepare(task, model, cache=self._cache)
        return prepared, task.majority_accuracy("validation")


def main(
    study: Annotated[list[str] | None, typer.Option(help=f"{', '.join(STUDIES)}.")] = None,
    method: Annotated[list[str] | None, typer.Option(help=f"{', '.join(BUDGETS)}.", show_default="all")] = None,
    seeds: Annotated[int, typer.Option(help="0, 1, ..., so many.")] = 5,
    work: Annotated[Path, typer.Option(help="Where networks, evaluations and policies are kept.")] = Path(
        "runs/transfer-benchmark"
    ),
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    for given, known in ((study, STUDIES), (method, BUDGETS)):
        if unknown := set(given or []) - set(known):
            raise typer.BadParameter(f"{sorted(unknown)[0]!r} is not among {', '.join(known)}")
    if study:
        work.mkdir(parents=True, exist_ok=True)
        place = Workplace(work, data_root)
        for seed in range(seeds):
            for name in study:
                _measure(place, name, method or list(BUDGETS), seed, work)
    _report()


def _measure(place: Workplace, study: str, methods: list[str], seed: int, work: Path) -> None:
    for target in STUDIES[study].targets:
        for method in methods:
            transferred = method in ("zero-shot", "fine-tuned")
            key = {"task": title(target), "method": method, "seed": seed}
            if any(key.items() <= run.items() for run in _runs()):
                continue
            policy = _policy(place, STUDIES[study].sources, seed, work) if transferred else None
            started = time.perf_counter()
            found, majority, best = _search(place, target, method, seed, policy)
            result = {
                **key,
                "evaluations": len(found),
                "seconds": round(time.perf_counter() - started, 1),
                "float_accuracy": best.accuracy,
                "hypervolume": [hypervolume(found[:count], majority) for count in COUNTS if count <= BUDGETS[method]],
            }
            print(json.dumps({**key, "hypervolume": result["hypervolume"][-1]}), flush=True)
            add_lines(RESULTS, "transfer.py", [result])


def _policy(place: Workplace, sources: str, seed: int, work: Path) -> PPOAgent:
    """Return what has learned on the sources; trained once."""
    folder = work / "policies" / sources / str(seed)
    if not (folder / "policy.json").exists():
        evaluators = [place.evaluator(config) for config in SOURCES[sources]]
        envs = [BitAllocationEnv(Ledger(evaluator, store=place.store)) for evaluator, _ in evaluators]
        agent = PPOAgent(envs, seed=seed, reference_accuracy=[majority for _, majority in evaluators])
        agent.learn(EPISODES).clone_best().save(folder)
    return PPOAgent.load(folder)


def _search(
    place: Workplace, target: EvaluatorConfig, method: str, seed: int, policy: PPOAgent | None
) -> tuple[list[Evaluation], float, Evaluation]:
    evaluator, majority = place.evaluator(target)
    budgeted = Ledger(evaluator, store=place.store, budget=BUDGETS[method])
    problem = SearchProblem(budgeted, seed, reference_accuracy=majority)
    if method == "zero-shot":
        assert policy is not None
        with suppress(BudgetSpent):
            budgeted.evaluate(policy.sweep(evaluator, BUDGETS[method]))
    else:
        run_search("ppo" if method == "fine-tuned" else method, replace(problem, start=policy))
    return list(budgeted.evaluations.values()), majority, evaluator.reference


def title(config: EvaluatorConfig) -> str:
    """Return what tells a task from the others."""
    layers = f"-{config.num_layers}" if config.num_layers else ""
    widths = f", {len(config.bits)} widths" if config.bits != EvaluatorConfig.bits else ""
    return f"{config.dataset} {config.model}{layers}{widths}"


def _runs() -> list[dict[str, Any]]:
    return read_lines(RESULTS)


def _curves(runs: Iterable[dict[str, Any]], study: str, method: str) -> dict[str, list[list[float]]]:
    """Return the hypervolumes of a method by task, a list for each seed."""
    return {
        title(target): [run["hypervolume"] for run in runs if (run["task"], run["method"]) == (title(target), method)]
        for target in STUDIES[study].targets
    }


def _report() -> None:
    runs = _runs()
    figure = plt.figure(figsize=(11, 6.4), layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    for axes, study in zip(panels, STUDIES, strict=False):
        print(f"\nStudy {study}, {STUDIES[study].title}: hypervolume in % of PPO's from nothing after {COUNTS[-1]}")
        print("| task | method | seeds | " + " | ".join(str(count) for count in COUNTS) + " |")
        print("| --- | --- | --- |" + " --- |" * len(COUNTS))
        for index, method in enumerate(BUDGETS):
            average = _print_method(runs, study, method)
            if average:
                width = 2.4 if method == "zero-shot" else 1.3
                axes.plot(COUNTS[: len(average)], average, f"C{index}.-", label=method, linewidth=width)
        axes.set_xscale("log", base=2)
        axes.set_xticks(COUNTS, [str(count) for count in COUNTS])
        axes.set_ylim(40, 103)
        axes.set_title(f"({study}) {STUDIES[study].title}")
        axes.set_xlabel("distinct evaluations")
        axes.grid(alpha=0.3)
    for axes in panels[::3]:
        axes.set_ylabel("hypervolume, % of PPO's\nfrom nothing after 512")
    panels[-1].axis("off")
    panels[-1].legend(*panels[0].get_legend_handles_labels(), loc="center left", title="mean over tasks and seeds")
    figure.savefig(FIGURE, dpi=150)
    plt.close(figure)


def _print_method(runs: list[dict[str, Any]], study: str, method: str) -> list[float]:
    """Print a row for each task and return the mean over tasks, in % of what PPO from nothing has at the end."""
    searched = {task: curves for task, curves in _curves(runs, study, "ppo").items() if curves}
    goals = {task: statistics.mean(curve[-1] for curve in curves) for task, curves in searched.items()}
    means = []
    for task, curves in _curves(runs, study, method).items():
        if task not in goals or not curves:
            continue
        shares = [[100 * value / goals[task] for value in curve] for curve in curves]
        points = [estimate(values) for values in zip(*shares, strict=True)]
        means.append([point.mean for point in points])
        _print_row(task, method, str(len(curves)), [point.text(1) for point in points])
    if not means:
        return []
    average = [statistics.mean(values) for values in zip(*means, strict=True)]
    _print_row("**all**", method, "", [f"{value:.1f}" for value in average])
    return average


def _print_row(task: str, method: str, seeds: str, cells: list[str]) -> None:
    print("| " + " | ".join([task, method, seeds, *cells, *[""] * (len(COUNTS) - len(cells))]) + " |")


if __name__ == "__main__":
    typer.run(main)
