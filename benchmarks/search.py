"""PPO against other searches at equal budgets, on problems that can be enumerated, large ones, and slow ones.

For the two-layer GCN on citation, Cora and CiteSeer all 3^9 allocations are evaluated once and kept in a store, so the
true front is known. The other problems have too many allocations; there the union of all fronts found takes its place.
All searches of a problem use the same evaluator. Searches in ``results/search.jsonl`` are not repeated. Without
``--problem`` the program prints the tables and draws the figure of the file:

    python benchmarks/search.py --data-root data --problem Cora --algorithm ppo --algorithm tpe --seeds 10

``ppo`` begins with the proposals of the package's policy, ``ppo:from-scratch`` without. ``ppo:rollouts=0`` is the
latter with another value of any field of :class:`~mixq_rl.agents.PPOSettings`: a policy that never learns.
``ppo:model-free`` has no surrogate. ``gp`` is Optuna's Gaussian process sampler. Rows ``ppo:weights`` are of an agent
that also took over the weights of the package's policy; it is not kept.
"""

import itertools
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import typer
from measuring import add_lines, read_lines
from search_problems import ALGORITHMS, BUDGETS, ENUMERATED, MOST, PROBLEMS, search

from mixq_rl import Ledger, PreparationCache
from mixq_rl.agents import SearchProblem
from mixq_rl.agents.comparison import estimate, measures
from mixq_rl.agents.records.trace import Trace
from mixq_rl.agents.searches import searches
from mixq_rl.evaluation.store import EvaluationStore, EvaluatorDescription

RESULTS = Path(__file__).parent / "results" / "search.jsonl"
TRUTH = Path(__file__).parent / "results" / "search_truth.json"
FIGURE = Path(__file__).parent.parent / "docs" / "search.png"
CURVE = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
BATCH = 243
BANDS = 5  # the interval of fewer seeds hides all curves
KNOWN = (*ALGORITHMS, *(name for name in searches if name not in ALGORITHMS))


def main(
    problem: Annotated[list[str] | None, typer.Option(help=f"{'; '.join(PROBLEMS)}.")] = None,
    algorithm: Annotated[list[str] | None, typer.Option(help=f"{', '.join(KNOWN)}.")] = None,
    seeds: Annotated[int, typer.Option(help="0, 1, ..., so many.")] = 10,
    store: Annotated[Path, typer.Option(help="Where evaluations are kept.")] = Path("runs/search-benchmark.sqlite"),
    cache: Annotated[Path, typer.Option(help="Folder of networks that were trained before.")] = Path("runs/prepared"),
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    for name in problem or []:
        _measure(name, algorithm or list(KNOWN), seeds, store, PreparationCache(cache), data_root)
    _report()


def _measure(name: str, algorithms: list[str], seeds: int, path: Path, cache: PreparationCache, data_root: str) -> None:
    config = replace(PROBLEMS[name], data_root=data_root)
    task, model = config.load()
    evaluator = config.prepare(task, model, cache=cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    store = EvaluationStore(path)
    described = EvaluatorDescription.of(evaluator, name, task.majority_accuracy("validation"))
    store.describe(evaluator.fingerprint, described)
    if name in ENUMERATED:
        everything = Ledger(evaluator, store=store)
        space = list(itertools.product(evaluator.bit_widths, repeat=len(evaluator.components)))
        for first in range(0, len(space), BATCH):
            everything.evaluate(space[first : first + BATCH])
    for seed in range(seeds):
        for algorithm in algorithms:
            key = {"problem": name, "algorithm": algorithm, "seed": seed}
            if any(key.items() <= run.items() for run in _runs()):
                continue
            started = time.perf_counter()
            budgets = [budget for budget in BUDGETS[name] if budget <= MOST.get(algorithm, budget)]
            budgeted = Ledger(evaluator, store=store, budget=budgets[-1])
            search(algorithm, SearchProblem(budgeted, seed, reference_accuracy=described.reference_accuracy))
            trace = Trace(algorithm, seed, described, tuple(budgeted.evaluations.values()))
            result = {
                **key,
                "evaluations": len(trace.evaluations),
                "seconds": round(time.perf_counter() - started, 1),
                "at": {str(budget): measures(trace, budget) for budget in budgets},
                "curve": [trace.hypervolume(count) for count in CURVE if count <= budgets[-1]],
            }
            print(json.dumps({**key, "hypervolume": result["at"][str(budgets[-1])]["hypervolume"]}), flush=True)
            add_lines(RESULTS, "search.py", [result])
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
    return read_lines(RESULTS)


def _report() -> None:
    runs, truth = _runs(), json.loads(TRUTH.read_text())
    names = [name for name in PROBLEMS if name in truth]
    for name in names:
        best = truth[name]
        kind = "true" if best["enumerated"] else "union of all fronts found"
        print(f"\n{name}: hypervolume in % of the {kind} ({best['hypervolume']:.4f}),")
        print(
            "mean ± half of the 95 % interval over seeds; in brackets the reduction within 0.3 points, in % of the best"
        )
        budgets = BUDGETS[name]
        middle = str(budgets[len(budgets) // 2])
        print("| search | seeds | " + " | ".join(map(str, budgets)) + " |")
        print("| --- | --- |" + " --- |" * len(budgets))
        own = [run for run in runs if run["problem"] == name]
        order = sorted(
            {run["algorithm"] for run in own},
            key=lambda a: -statistics.mean(r["at"][middle]["hypervolume"] for r in own if r["algorithm"] == a),
        )
        for algorithm in order:
            rows = [run["at"] for run in own if run["algorithm"] == algorithm]
            cells = []
            for budget in budgets:
                if any(str(budget) not in row for row in rows):
                    cells.append("")
                    continue
                share = estimate([100 * row[str(budget)]["hypervolume"] / best["hypervolume"] for row in rows])
                key = "reduction within 0.3"
                reduction = statistics.mean(100 * row[str(budget)][key] / best[key] for row in rows)
                cells.append(f"{share.text(2)} ({reduction:.1f})")
            print(f"| {algorithm} | {len(rows)} | " + " | ".join(cells) + " |")
    _draw(runs, truth, names)


def _draw(runs: list[dict[str, Any]], truth: dict[str, Any], names: list[str]) -> None:
    """Draw one panel for each problem, in rows of three."""
    rows = -(-len(names) // 3)
    figure, panels = plt.subplots(rows, 3, figsize=(13, 3.7 * rows), squeeze=False, layout="constrained")
    for axes in panels.flat[len(names) :]:
        axes.set_visible(False)
    shown = [name for name in (*KNOWN, "ppo:rollouts=0", "ppo:rollouts=4") if name != "uniform"]
    for axes, name in zip(panels.flat, names, strict=False):
        lowest = []
        for index, algorithm in enumerate(shown):
            curves = [r["curve"] for r in runs if r["problem"] == name and r["algorithm"] == algorithm]
            if not curves:
                continue
            points = [estimate(values) for values in zip(*curves, strict=True)]
            counts = CURVE[: len(points)]
            shares = [100 * point.mean / truth[name]["hypervolume"] for point in points]
            widths = [100 * point.half_width / truth[name]["hypervolume"] for point in points]
            lowest.append(min(share for share, count in zip(shares, counts, strict=True) if count >= 16))
            own = {"color": f"C{index}", "linewidth": 2.4 if algorithm == "ppo" else 1.2}
            axes.plot(counts, shares, label=algorithm, linestyle="--" if ":" in algorithm else "-", **own)
            low, high = ([s + sign * w for s, w in zip(shares, widths, strict=True)] for sign in (-1, 1))
            if len(curves) >= BANDS:
                axes.fill_between(counts, low, high, color=own["color"], alpha=0.12, linewidth=0)
        axes.set_xscale("log", base=2)
        axes.set_xticks(BUDGETS[name], [str(budget) for budget in BUDGETS[name]])
        axes.set_xlim(min(CURVE[2], BUDGETS[name][0]), BUDGETS[name][-1])
        axes.set_ylim(sorted(lowest)[:2][-1], 100.3)  # the lowest search may leave the panel
        axes.set_title(name)
        axes.grid(alpha=0.3)
    for axes in panels[:, 0]:
        axes.set_ylabel("hypervolume, % of the best known")
    for axes in panels.flat[max(len(names) - 3, 0) : len(names)]:
        axes.set_xlabel("distinct evaluations")
    lines = {line.get_label(): line for axes in panels.flat for line in axes.get_lines()}
    figure.legend(lines.values(), lines.keys(), loc="outside lower right", ncols=5)
    figure.savefig(FIGURE, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    typer.run(main)
