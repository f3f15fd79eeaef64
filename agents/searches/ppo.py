"""Search by the PPO agent."""

from mixq_rl.agents.ppo.agent import PPOAgent, PPOSettings
from mixq_rl.agents.searches.problem import SearchProblem
from mixq_rl.envs import BitAllocationEnv

__all__ = ["ppo"]


def ppo(problem: SearchProblem, settings: PPOSettings | None = None) -> None:
    """Let a :class:`~mixq_rl.agents.PPOAgent` learn until the budget is spent."""
    env = BitAllocationEnv(problem.evaluator, reward=problem.reward, constraints=problem.constraints)
    agent = PPOAgent(
        env,
        seed=problem.seed,
        settings=settings,
        reference_accuracy=problem.reference_accuracy,
        start=problem.start,
    )
    agent.learn(max(problem.evaluator.left, 1), logger=problem.logger)
