"""What the policy of the package proposes without a search, for networks that it was not trained on.

For each task: the hypervolume of its 16 allocations, in % of that of a search from nothing after 512 evaluations
(the search of ``PPOAgent`` without learning, in batches of 16, on the same weights of the same supernet).
Measurements in ``results/shipped.jsonl`` are not repeated, and searches are measured once for all policies. Without
``--study`` the program prints the table of the file:

    python benchmarks/shipped.py --data-root data --study graphs --study layers --study depths --study whole-graphs
"""

import json
import math
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from allocate import package_policy
from measuring import add_lines, read_lines

from mixq_rl import Evaluation, EvaluationStore, PreparationCache
from mixq_rl.agents import EvaluatorConfig, PPOAgent, PPOSettings, hypervolume
from mixq_rl.agents.allocation import load_agent
from mixq_rl.agents.pareto import pareto_front
from mixq_rl.agents.records.prepared_evaluator import PreparedEvaluator
from mixq_rl.envs import BitAllocationEnv

RESULTS = Path(__file__).parent / "results" / "shipped.jsonl"
SEARCH, BUDGET, BATCH = "ppo:rollouts=0,batch=16", 512, 16
FOUR, SIX = (1, 2, 4, 8), (1, 2, 3, 4, 6, 8)
STUDIES = {
    "graphs": [
        EvaluatorConfig(dataset=dataset, bits=bits)
        for bits in ((2, 4, 8), FOUR)
        for dataset in ("CiteSeer", "PT", "Facebook")
    ],
    "layers": [EvaluatorConfig(dataset="Cora", model=model) for model in ("sage", "gin", "gat")],
    "depths": [EvaluatorConfig(dataset="Cora", num_layers=layers) for layers in (3, 4, 5)],
    "bit-widths": [EvaluatorConfig(dataset=dataset, bits=SIX) for dataset in ("Cora", "CiteSeer")],
    "whole-graphs": [EvaluatorConfig(dataset=dataset, model="gin") for dataset in ("MUTAG", "CSL", "PROTEINS")],
}


def main(
    study: Annotated[list[str] | None, typer.Option(help=f"{', '.join(STUDIES)}.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Titles of tasks.", show_default="all")] = None,
    policy: Annotated[str | None, typer.Option(help="Folder of a policy.", show_default="that of the package")] = None,
    work: Annotated[Path, typer.Option(help="Folder of the evaluations.")] = Path("runs/shipped"),
    cache: Annotated[Path, typer.Option(help="Folder of networks that were trained before.")] = Path("runs/prepared"),
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    if unknown := set(study or []) - set(STUDIES):
        raise typer.BadParameter(f"{sorted(unknown)[0]!r} is not among {', '.join(STUDIES)}")
    work.mkdir(parents=True, exist_ok=True)
    with closing(EvaluationStore(work / "evaluations.sqlite")) as store:
        for name in study or []:
            for config in STUDIES[name]:
                if not only or config.title(config.dataset) in only:
                    _measure(name, replace(config, data_root=data_root), policy, store, PreparationCache(cache))
    _report()


def _measure(
    study: str, config: EvaluatorConfig, policy: str | None, store: EvaluationStore, cache: PreparationCache
) -> None:
    key = {"study": study, "task": config.title(config.dataset)}
    hashed = package_policy(policy)
    if any({**key, "policy": hashed}.items() <= run.items() for run in _runs()):
        return
    task, model = config.load()
    prepared = PreparedEvaluator.prepare(config, task, model, store, cache=cache)
    searched = {"method": SEARCH, "fingerprint": prepared.fingerprint}
    if not any({**key, **searched}.items() <= run.items() for run in _runs()):
        started, ledger = time.perf_counter(), prepared.ledger()
        env, settings = BitAllocationEnv(ledger), PPOSettings(rollouts=0, batch=BATCH)
        PPOAgent(env, settings=settings, reference_accuracy=prepared.majority).learn(BUDGET)
        found = _found(prepared, list(ledger.evaluations.values()))
        _write({**key, **searched, **found, "seconds": round(time.perf_counter() - started, 1)})
    agent, started = load_agent(policy), time.perf_counter()
    swept = agent.sweep(prepared.evaluator)
    seconds = time.perf_counter() - started
    found = _found(prepared, prepared.ledger().evaluate(swept))
    own = {"method": "policy", "policy": hashed, "fingerprint": prepared.fingerprint}
    _write({**key, **own, **found, "seconds": round(seconds, 2), "allocations": swept})


def _found(prepared: PreparedEvaluator, evaluations: Sequence[Evaluation]) -> dict[str, float]:
    """Return the hypervolume of evaluations, and the area of the steps of their front with accuracies on test data.

    Nothing is chosen by the test split: a point of lower accuracy on test data than the next one lowers the area.
    """
    evaluator, majority, area, left = prepared.evaluator, prepared.evaluator.task.majority_accuracy("test"), 0.0, 0.0
    for point in pareto_front(evaluations):
        right = math.log2(point.reduction)
        tested = evaluator.measure(evaluator.freeze(point.allocation), "test")
        area += max(right - left, 0.0) * (tested.accuracy - majority)
        left = max(left, right)
    return {"hypervolume": hypervolume(evaluations, prepared.majority), "test_hypervolume": area}


def _write(result: dict[str, Any]) -> None:
    print(json.dumps({name: value for name, value in result.items() if name != "allocations"}), flush=True)
    add_lines(RESULTS, "shipped.py", [result])


def _runs() -> list[dict[str, Any]]:
    return read_lines(RESULTS)


def _report() -> None:
    policies = list(dict.fromkeys(run["policy"] for run in _runs() if run["method"] == "policy"))
    columns = [*policies, *(f"{policy} on test" for policy in policies)]
    print("| study | task | " + " | ".join(columns) + " |\n| --- | --- |" + " --- |" * len(columns))
    for study in STUDIES:
        runs = [run for run in _runs() if run["study"] == study]
        rows = []
        for task, fingerprint in dict.fromkeys((run["task"], run["fingerprint"]) for run in runs):
            own = [run for run in runs if run["fingerprint"] == fingerprint and run["task"] == task]
            shares = [_shares(own, measure) for measure in ("hypervolume", "test_hypervolume")]
            rows.append([share.get(policy) for share in shares for policy in policies])
            _print_row(study, task, rows[-1])
        if rows:
            means = zip(*rows, strict=True)
            _print_row(study, "**mean**", [statistics.mean(c) if None not in c else None for c in means])


def _shares(runs: list[dict[str, Any]], measure: str) -> dict[str, float]:
    """Return what each policy reaches of the search, in %; nothing where the search was not measured so."""
    goal = next((run[measure] for run in runs if run["method"] == SEARCH and measure in run), 0.0)
    swept = [run for run in runs if run["method"] == "policy" and measure in run]
    return {run["policy"]: 100 * run[measure] / goal for run in swept} if goal > 0 else {}


def _print_row(study: str, task: str, values: Sequence[float | None]) -> None:
    print("| " + " | ".join([study, task, *("" if value is None else f"{value:.1f}" for value in values)]) + " |")


if __name__ == "__main__":
    typer.run(main)
