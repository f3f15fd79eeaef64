"""PPO against other searches at equal budgets, compared with the true front where all allocations can be evaluated.

For the two-layer GCN on citation, Cora and CiteSeer all 3^9 allocations are evaluated once and kept in a store, so the
true front is known. The five-layer GIN on PROTEINS has too many allocations; there the union of all fronts found takes
its place. All searches use the same evaluator. Searches in ``results/search.jsonl`` are not repeated. Without
``--problem`` the program prints the tables and draws the figure of the file:

    python benchmarks/search.py --data-root data --problem Cora --algorithm ppo --algorithm tpe --seeds 10

``--algorithm ppo:rollouts=0`` is PPO with another value of any field of :class:`~mixq_rl.agents.PPOSettings`.
"""

import itertools
import json
import statistics
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import typer
from measuring import circumstances

from mixq_rl import Ledger
from mixq_rl.agents import EvaluatorConfig, PPOSettings, SearchProblem, run_search
from mixq_rl.agents.comparison import estimate, measures
from mixq_rl.agents.records.trace import Trace
from mixq_rl.agents.searches import searches
from mixq_rl.agents.searches.ppo import ppo
from mixq_rl.evaluation.ledger import BudgetSpent
from mixq_rl.evaluation.store import EvaluationStore, EvaluatorDescription

RESULTS = Path(__file__).parent / "results" / "search.jsonl"
TRUTH = Path(__file__).parent / "results" / "search_truth.json"
FIGURE = Path(__file__).parent.parent / "docs" / "search.png"
PROBLEMS = {
    "citation": EvaluatorConfig(dataset="citation", model="gcn"),
    "Cora": EvaluatorConfig(dataset="Cora", model="gcn"),
    "CiteSeer": EvaluatorConfig(dataset="CiteSeer", model="gcn"),
    "PROTEINS": EvaluatorConfig(dataset="PROTEINS", model="gin"),
}
ENUMERATED = ("citation", "Cora", "CiteSeer")
BUDGETS = (32, 64, 128, 256, 512)
CURVE = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
BATCH = 243


def main(
    problem: Annotated[list[str] | None, typer.Option(help=f"{', '.join(PROBLEMS)}.")] = None,
    algorithm: Annotated[list[str] | None, typer.Option(help=f"{', '.join(searches)}.")] = None,
    seeds: Annotated[int, typer.Option(help="0, 1, ..., so many.")] = 10,
    store: Annotated[Path, typer.Option(help="Where evaluations are kept.")] = Path("runs/search-benchmark.sqlite"),
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    for name in problem or []:
        _measure(name, algorithm or list(searches), seeds, store, data_root)
    _report()


def _measure(name: str, algorithms: list[str], seeds: int, path: Path, data_root: str) -> None:
    config = EvaluatorConfig(**{**vars(PROBLEMS[name]), "data_root": data_root})
    task, model = config.load()
    evaluator = config.prepare(task, model)
    path.parent.mkdir(parents=True, exist_ok=True)
    store = EvaluationStore(path)
    described = EvaluatorDescription.of(evaluator, name, task.majority_accuracy("validation"))
    store.describe(evaluator.fingerprint, described)
    if name in ENUMERATED:
        everything, space = (
            Ledger(evaluator, store=store),
            list(itertools.product(evaluator.bit_widths, repeat=len(evaluator.components))),
        )
        for first in range(0, len(space), BATCH):
            everything.evaluate(space[first : first + BATCH])
    for seed in range(seeds):
        for algorithm in algorithms:
            key = {"problem": name, "algorithm": algorithm, "seed": seed}
            if any(key.items() <= run.items() for run in _runs()):
                continue
            started = time.perf_counter()
            budgeted = Ledger(evaluator, store=store, budget=BUDGETS[-1])
            search = SearchProblem(budgeted, seed, reference_accuracy=described.reference_accuracy)
            kind, _, options = algorithm.partition(":")
            if options:
                given = (option.split("=") for option in options.split(","))
                settings = PPOSettings(**{option: json.loads(value) for option, value in given})
                with suppress(BudgetSpent):
                    ppo(search, settings)
            else:
                run_search(kind, search)
            trace = Trace(algorithm, seed, described, tuple(budgeted.evaluations.values()))
            result = {
                **key,
                "evaluations": len(trace.evaluations),
                "seconds": round(time.perf_counter() - started, 1),
                "at": {str(budget): measures(trace, budget) for budget in BUDGETS},
                "curve": [trace.hypervolume(count) for count in CURVE],
            }
            print(json.dumps({**key, "hypervolume": result["at"][str(BUDGETS[-1])]["hypervolume"]}), flush=True)
            with RESULTS.open("a") as file:
                file.write(json.dumps({**result, **circumstances("search.py")}) + "\n")
    known = Trace("all", 0, described, tuple(store.evaluations(evaluator.fingerprint).values()))
    truth = json.loads(TRUTH.read_text()) if TRUTH.exists() else {}
    count = len(known.evaluations)
    truth[name] = {
        "evaluations": count,
        "enumerated": name in ENUMERATED,
        "float_accuracy": described.reference.accuracy,
        "majority_accuracy": described.reference_accuracy,
        **{key: value for key, value in measures(known, count).items() if key != "area"},
    }
    TRUTH.write_text(json.dumps(truth, indent=2) + "\n")


def _runs() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def _report() -> None:
    runs, truth = _runs(), json.loads(TRUTH.read_text())
    names = [name for name in PROBLEMS if any(run["problem"] == name for run in runs)]
    for name in names:
        best = truth[name]
        kind = "true" if best["enumerated"] else "union of all fronts found"
        print(f"\n{name}: hypervolume in % of the {kind} ({best['hypervolume']:.4f}),")
        print(
            "mean ± half of the 95 % interval over seeds; in brackets the reduction within 0.3 points, in % of the best"
        )
        print("| search | seeds | " + " | ".join(str(budget) for budget in BUDGETS) + " |")
        print("| --- | --- |" + " --- |" * len(BUDGETS))
        own = [run for run in runs if run["problem"] == name]
        order = sorted(
            {run["algorithm"] for run in own},
            key=lambda a: -statistics.mean(r["at"]["128"]["hypervolume"] for r in own if r["algorithm"] == a),
        )
        for algorithm in order:
            rows = [run["at"] for run in own if run["algorithm"] == algorithm]
            cells = []
            for budget in BUDGETS:
                share = estimate([100 * row[str(budget)]["hypervolume"] / best["hypervolume"] for row in rows])
                key = "reduction within 0.3"
                reduction = statistics.mean(100 * row[str(budget)][key] / best[key] for row in rows)
                cells.append(f"{share.text(2)} ({reduction:.1f})")
            print(f"| {algorithm} | {len(rows)} | " + " | ".join(cells) + " |")
    _draw(runs, truth, names)


def _draw(runs: list[dict[str, Any]], truth: dict[str, Any], names: list[str]) -> None:
    figure, panels = plt.subplots(1, len(names), figsize=(4.3 * len(names), 3.9), squeeze=False, layout="constrained")
    for axes, name in zip(panels[0], names, strict=True):
        for index, algorithm in enumerate(search for search in searches if search != "uniform"):
            curves = [r["curve"] for r in runs if r["problem"] == name and r["algorithm"] == algorithm]
            if not curves:
                continue
            points = [estimate(values) for values in zip(*curves, strict=True)]
            shares = [100 * point.mean / truth[name]["hypervolume"] for point in points]
            widths = [100 * point.half_width / truth[name]["hypervolume"] for point in points]
            color = f"C{index}"
            axes.plot(CURVE, shares, color=color, label=algorithm, linewidth=2.2 if algorithm == "ppo" else 1.2)
            low, high = ([s + sign * w for s, w in zip(shares, widths, strict=True)] for sign in (-1, 1))
            axes.fill_between(CURVE, low, high, color=color, alpha=0.15, linewidth=0)
        axes.set_xscale("log", base=2)
        axes.set_xticks(BUDGETS, [str(budget) for budget in BUDGETS])
        axes.set_xlim(16, BUDGETS[-1])
        axes.set_ylim(94 if truth[name]["enumerated"] else 40, 100.1)
        axes.set_title(f"{name}, {PROBLEMS[name].model}")
        axes.set_xlabel("distinct evaluations")
        axes.grid(alpha=0.3)
    panels[0][0].set_ylabel("hypervolume, % of the best known")
    panels[0][0].legend(fontsize=8, loc="lower right")
    figure.savefig(FIGURE, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    typer.run(main)
