"""Training, search and fine-tuning that are only begun: enough to see that what calls them works."""

from importlib import import_module
from typing import Any

import pytest

from mixq_rl.agents import PPOAgent
from mixq_rl.datasets import GraphTask
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.training import schedules
from mixq_rl.training.loop import Schedule

__all__ = ["hurry"]

EPOCHS, EVALUATIONS = 2, 4


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Train for two epochs, search four allocations, fine-tune two of them, whatever an example asks for."""
    schedule, learn, start = schedules.default_schedule, PPOAgent.learn, Ledger.__init__

    def short(purpose: schedules.Purpose, task: GraphTask) -> Schedule:
        return schedule(purpose, task).lasting(EPOCHS)

    def learn_little(self: PPOAgent, episodes: int | None, **options: Any) -> PPOAgent:
        return learn(self, episodes and min(episodes, EVALUATIONS), **options)

    def start_small(self: Ledger, evaluator: Any, *, budget: int | None = None, **options: Any) -> None:
        start(self, evaluator, budget=budget and min(budget, EVALUATIONS), **options)

    patch.setattr(schedules, "default_schedule", short)
    patch.setattr("mixq_rl.quantization.quantizer._SEARCH_STEPS", 3)
    patch.setattr(import_module("mixq_rl.evaluation.evaluators"), "_SHORT_EPOCHS", 1)
    patch.setattr("mixq_rl.agents.runs.finalists._MOST", 2)
    patch.setattr("mixq_rl.agents.ppo.imitation._LEAST_STEPS", 2)
    patch.setattr("mixq_rl.agents.ppo.imitation._STEPS_OF_TASK", 2)
    patch.setattr(PPOAgent, "learn", learn_little)
    patch.setattr(Ledger, "__init__", start_small)
