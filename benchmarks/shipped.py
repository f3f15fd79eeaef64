"""What the policy of the package proposes without a search, for networks that it was not trained on.

For each task: the hypervolume of its 16 allocations, in % of that of a search from nothing after 512 evaluations
(the search of ``PPOAgent`` without learning, in batches of 16, on the same weights of the same supernet).
Measurements in ``results/shipped.jsonl`` are not repeated, and searches are measured once for all policies. Without
``--study`` the program prints the table of the file:

    python benchmarks/shipped.py --data-root data --study graphs --study layers --study depths --study whole-graphs
"""

import json
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from allocate import package_policy
from measuring import circumstances

from mixq_rl import EvaluationStore, PreparationCache
from mixq_rl.agents import EvaluatorConfig, PPOAgent, PPOSettings, hypervolume
from mixq_rl.agents.allocation import load_agent
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
        found = hypervolume(ledger.evaluations.values(), prepared.majority)
        _write({**key, **searched, "hypervolume": found, "seconds": round(time.perf_counter() - started, 1)})
    agent, started = load_agent(policy), time.perf_counter()
    swept = agent.sweep(prepared.evaluator)
    seconds = time.perf_counter() - started
    found = hypervolume(prepared.ledger().evaluate(swept), prepared.majority)
    own = {"method": "policy", "policy": hashed, "fingerprint": prepared.fingerprint}
    _write({**key, **own, "hypervolume": found, "seconds": round(seconds, 2), "allocations": swept})


def _write(result: dict[str, Any]) -> None:
    print(json.dumps({name: value for name, value in result.items() if name != "allocations"}), flush=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps({**result, **circumstances("shipped.py")}) + "\n")


def _runs() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def _report() -> None:
    policies = list(dict.fromkeys(run["policy"] for run in _runs() if run["method"] == "policy"))
    print("| study | task | " + " | ".join(policies) + " |\n| --- | --- |" + " --- |" * len(policies))
    for study in STUDIES:
        runs = [run for run in _runs() if run["study"] == study]
        rows = []
        for task, fingerprint in dict.fromkeys((run["task"], run["fingerprint"]) for run in runs):
            own = [run for run in runs if run["fingerprint"] == fingerprint and run["task"] == task]
            goal = next(run["hypervolume"] for run in own if run["method"] == SEARCH)
            found = {run["policy"]: 100 * run["hypervolume"] / goal for run in own if run["method"] == "policy"}
            rows.append([found.get(policy) for policy in policies])
            _print_row(study, task, rows[-1])
        if rows:
            columns = zip(*rows, strict=True)
            _print_row(study, "**mean**", [statistics.mean(c) if None not in c else None for c in columns])


def _print_row(study: str, task: str, values: Sequence[float | None]) -> None:
    print("| " + " | ".join([study, task, *("" if value is None else f"{value:.1f}" for value in values)]) + " |")


if __name__ == "__main__":
    typer.run(main)
