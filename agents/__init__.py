"""PPO for bit allocation and its rivals, the runs that search and train, and the command line."""

from mixq_rl.agents.allocation import allocate
from mixq_rl.agents.pareto import ParetoArchive, hypervolume, pareto_front
from mixq_rl.agents.policy_record import PolicyRecord
from mixq_rl.agents.policy_run import PolicyPlan, resume_policy, train_policy
from mixq_rl.agents.ppo import PPOAgent, PPOSettings
from mixq_rl.agents.problem_config import ProblemConfig
from mixq_rl.agents.run_config import RunConfig
from mixq_rl.agents.run_result import RunResult
from mixq_rl.agents.search_run import SearchPlan, run_searches
from mixq_rl.agents.searches import BudgetedEvaluator, SearchProblem, run_search, searches
from mixq_rl.agents.training_run import resume_training, train

__all__ = [
    "BudgetedEvaluator",
    "PPOAgent",
    "PPOSettings",
    "ParetoArchive",
    "PolicyPlan",
    "PolicyRecord",
    "ProblemConfig",
    "RunConfig",
    "RunResult",
    "SearchPlan",
    "SearchProblem",
    "allocate",
    "hypervolume",
    "pareto_front",
    "resume_policy",
    "resume_training",
    "run_search",
    "run_searches",
    "searches",
    "train",
    "train_policy",
]
