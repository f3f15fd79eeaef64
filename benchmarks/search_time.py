"""Time of the agent's search on Cora's GCN and its parts, without the training of the supernet.

python benchmarks/search_time.py --data-root data --episodes 2000
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from measuring import circumstances

import mixq_rl
from mixq_rl.agents import PPOAgent
from mixq_rl.agents.ppo.surrogate import Surrogate
from mixq_rl.envs import BitAllocationEnv
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.nn import Component

RESULTS = Path(__file__).parent / "results" / "search_time.json"


class Stopwatch:
    """An evaluator that adds up the time it takes."""

    def __init__(self, evaluator: mixq_rl.SupernetEvaluator) -> None:
        self.evaluator = evaluator
        self.seconds = 0.0
        self.components: tuple[Component, ...] = evaluator.components
        self.bit_widths = evaluator.bit_widths
        self.reference = evaluator.reference

    def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[Evaluation]:
        started = time.perf_counter()
        evaluations = self.evaluator.evaluate(allocations)
        self.seconds += time.perf_counter() - started
        return evaluations


def main(
    dataset: str = "Cora",
    episodes: int = 2000,
    data_root: Annotated[str, typer.Option(envvar="MIXQ_RL_DATA")] = "data",
) -> None:
    task = mixq_rl.load_task(dataset, data_root)
    model = mixq_rl.fit(mixq_rl.build_model("gcn", task), task)
    watched = Stopwatch(mixq_rl.SupernetEvaluator(model, task, bit_widths=(2, 4, 8)))
    spent = {"policy": 0.0, "surrogate": 0.0}
    agent = PPOAgent(BitAllocationEnv(watched), seed=0)
    assert agent._ppo is not None
    learn, fit = agent._ppo.learn, Surrogate.fit

    def timed_learn(*arguments: object, **options: object) -> object:
        started = time.perf_counter()
        result = learn(*arguments, **options)
        spent["policy"] += time.perf_counter() - started
        return result

    def timed_fit(self: Surrogate, evaluations: Sequence[Evaluation]) -> None:
        started = time.perf_counter()
        fit(self, evaluations)
        spent["surrogate"] += time.perf_counter() - started

    agent._ppo.learn = timed_learn
    Surrogate.fit = timed_fit
    started = time.perf_counter()
    agent.learn(episodes)
    total = time.perf_counter() - started
    shares = {"evaluation": watched.seconds, **spent}
    shares["elsewhere"] = total - sum(shares.values())
    result = {
        "dataset": dataset,
        "episodes": episodes,
        "seconds": round(total, 1),
        "share": {name: round(seconds / total, 3) for name, seconds in shares.items()},
        **circumstances("search_time.py"),
    }
    print(json.dumps(result, indent=2))
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
