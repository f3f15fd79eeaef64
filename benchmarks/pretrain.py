"""Trains the policy of the package, and writes it to ``agents/ppo/pretrained``.

The tasks are those of ``pretraining_tasks.py``. Each is searched by itself first, without PPO, which finds as good a
front on small networks in a fraction of the time. Then PPO learns from rollouts on the surrogates of all tasks, and the
policy is trained by behaviour cloning. Networks and evaluations are kept below ``--work``, so that none is trained or
evaluated twice:

    python benchmarks/pretrain.py --data-root data
"""

import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from pretraining_tasks import pretraining_tasks
from rich.console import Console

from mixq_rl import EvaluationStore, Ledger, PreparationCache
from mixq_rl.agents import EvaluatorConfig, PPOAgent, PPOSettings
from mixq_rl.agents.records.policy_record import LearnedTask
from mixq_rl.agents.records.prepared_evaluator import PreparedEvaluator
from mixq_rl.agents.report.tables import policy_table
from mixq_rl.envs import BitAllocationEnv

TARGET = Path(__file__).parent.parent / "agents" / "ppo" / "pretrained"
ALONE = PPOSettings(rollouts=0, candidates=256, batch=8)
TOGETHER = PPOSettings(rollouts=16, candidates=256)


def main(
    work: Annotated[Path, typer.Option(help="Folder of graphs and evaluations.")] = Path("runs/pretrain"),
    cache: Annotated[Path, typer.Option(help="Folder of networks that were trained before.")] = Path("runs/prepared"),
    target: Annotated[Path, typer.Option(help="Folder of the policy.")] = TARGET,
    alone: Annotated[int, typer.Option(help="Evaluations of each task, without PPO.")] = 192,
    together: Annotated[int, typer.Option(help="Evaluations of each task with PPO on all tasks, at least 1.")] = 12,
    seed: Annotated[int, typer.Option(help="Seed of the searches and of the policy.")] = 0,
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    console, started = Console(), time.perf_counter()
    work.mkdir(parents=True, exist_ok=True)
    with closing(EvaluationStore(work / "evaluations.sqlite")) as store:
        learned = []
        for config in pretraining_tasks(work / "graphs", data_root):
            prepared, ledger = searched(config, store, PreparationCache(cache), alone, seed)
            learned.append((prepared, ledger))
            console.print(f"{time.perf_counter() - started:.0f} s: {prepared.description.name}", highlight=False)
        agent = policy_of(learned, together, seed)
        reached = [
            LearnedTask.of(
                prepared.description,
                list(ledger.evaluations.values()),
                prepared.ledger().evaluate(agent.sweep(prepared.evaluator)),
            )
            for prepared, ledger in learned
        ]
    agent.record = agent.record.with_tasks(reached)
    agent.save(target)
    console.print(policy_table(reached))
    console.print(f"{time.perf_counter() - started:.0f} s", highlight=False)


def searched(
    config: EvaluatorConfig, store: EvaluationStore, cache: PreparationCache, count: int, seed: int
) -> tuple[PreparedEvaluator, Ledger]:
    """Return the network of a task, and a ledger with the evaluations of a search."""
    task, model = config.load()
    prepared = PreparedEvaluator.prepare(config, task, model, store, cache=cache, title=config.title(task.name))
    ledger = prepared.ledger()
    env = BitAllocationEnv(ledger)
    PPOAgent(env, seed=seed, settings=ALONE, reference_accuracy=prepared.majority).learn(count)
    return prepared, ledger


def policy_of(learned: list[tuple[PreparedEvaluator, Ledger]], count: int, seed: int) -> PPOAgent:
    """Return what learned on all tasks, whose searches evaluated enough to fit surrogates."""
    envs = [BitAllocationEnv(ledger) for _, ledger in learned]
    majorities = [prepared.majority for prepared, _ in learned]
    agent = PPOAgent(envs, seed=seed, settings=TOGETHER, reference_accuracy=majorities)
    return agent.learn(count).clone_best()


if __name__ == "__main__":
    typer.run(main)
