"""The problem that a search is given."""

import math
from dataclasses import dataclass, field

from stable_baselines3.common.logger import Logger

from mixq_rl.agents.ppo.agent import PPOAgent
from mixq_rl.envs import Reward, TradeOff
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["SearchProblem"]


@dataclass(frozen=True)
class SearchProblem:
    """All that a search is given.

    Attributes:
        evaluator: evaluates allocations until its budget is spent.
        seed: of all that the search draws.
        reward: what is wanted; only PPO follows others than the trade-off.
        reference_accuracy: of the hypervolume's reference point.
        start: an agent whose policy PPO starts from; None: from nothing.
        logger: of Stable-Baselines3, for what PPO logs; None: nothing is logged.
    """

    evaluator: Ledger
    seed: int = 0
    reward: Reward = field(default_factory=TradeOff)
    reference_accuracy: float = 0.0
    start: PPOAgent | None = None
    logger: Logger | None = None

    def log_saving(self, evaluation: Evaluation) -> float:
        """Return log2 of what an evaluation saves."""
        return math.log2(self.reward.objective.saving(evaluation, self.evaluator.reference))
