"""PPO for bit allocation, the run that trains it, and the command line."""

from mixq_rl.agents.pareto import ParetoArchive, hypervolume, pareto_front
from mixq_rl.agents.ppo import PPOAgent
from mixq_rl.agents.training_run import RunConfig, RunResult, train

__all__ = ["PPOAgent", "ParetoArchive", "RunConfig", "RunResult", "hypervolume", "pareto_front", "train"]
