"""Input of a search."""

import math
from dataclasses import dataclass, field
from functools import cached_property

from stable_baselines3.common.logger import Logger

from mixq_rl.agents.ppo.agent import PPOAgent
from mixq_rl.envs import Constraints, Limits, Reward, TradeOff
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["SearchProblem"]


@dataclass(frozen=True)
class SearchProblem:
    """Input of a search.

    Attributes:
        evaluator: evaluates allocations until its budget is spent.
        seed: seed of all random numbers of the search.
        reward: formula of the reward; only PPO supports rewards other than the trade-off.
        reference_accuracy: accuracy of the hypervolume's reference point.
        start: agent whose policy PPO starts from; None: PPO starts from a new policy.
        logger: logger of Stable-Baselines3 that PPO writes to; None: nothing is logged.
        constraints: constraints on the allocations that the search requests.
    """

    evaluator: Ledger
    seed: int = 0
    reward: Reward = field(default_factory=TradeOff)
    reference_accuracy: float = 0.0
    start: PPOAgent | None = None
    logger: Logger | None = None
    constraints: Constraints = field(default_factory=Constraints)

    @cached_property
    def limits(self) -> Limits:
        """Limits that follow from constraints, reward and evaluator.

        A limit on bit operations takes evaluations, as :class:`~mixq_rl.envs.BitCost` describes.

        Raises:
            InputError, BitWidthError: as in :meth:`~mixq_rl.envs.Constraints.resolve`.
        """
        return self.constraints.resolve(self.evaluator, self.reward.max_bitops).limits

    def log_saving(self, evaluation: Evaluation) -> float:
        """Return log2 of the saving of an evaluation."""
        return math.log2(self.reward.objective.saving(evaluation, self.evaluator.reference))
