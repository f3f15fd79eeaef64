"""PPO and other searches for bit allocation, runs that search and train, and the command line.

Names are imported when they are first used. Names that need neither Gymnasium nor Stable-Baselines3 work without them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixq_rl.agents.allocation import allocate
    from mixq_rl.agents.pareto import ParetoArchive, hypervolume, pareto_front
    from mixq_rl.agents.ppo.agent import PPOAgent, PPOSettings
    from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
    from mixq_rl.agents.records.policy_record import PolicyRecord
    from mixq_rl.agents.records.result import RunResult
    from mixq_rl.agents.records.run_config import RunConfig
    from mixq_rl.agents.runs.policy import PolicyPlan, resume_policy, train_policy
    from mixq_rl.agents.runs.search import SearchPlan, run_searches
    from mixq_rl.agents.runs.training import resume_training, train
    from mixq_rl.agents.searches import SearchProblem, run_search

__all__ = [
    "EvaluatorConfig",
    "PPOAgent",
    "PPOSettings",
    "ParetoArchive",
    "PolicyPlan",
    "PolicyRecord",
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
    "train",
    "train_policy",
]

_MODULES = {
    "allocation": ("allocate",),
    "pareto": ("ParetoArchive", "hypervolume", "pareto_front"),
    "records.policy_record": ("PolicyRecord",),
    "runs.policy": ("PolicyPlan", "resume_policy", "train_policy"),
    "ppo.agent": ("PPOAgent", "PPOSettings"),
    "records.evaluator_config": ("EvaluatorConfig",),
    "records.run_config": ("RunConfig",),
    "records.result": ("RunResult",),
    "runs.search": ("SearchPlan", "run_searches"),
    "searches": ("SearchProblem", "run_search"),
    "runs.training": ("resume_training", "train"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mixq_rl.agents' has no attribute {name!r}")
    try:
        module = importlib.import_module(f"mixq_rl.agents.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"mixq_rl.agents.{name} needs {error.name}, which is not installed: pip install 'mixq-rl[rl]'",
            name=error.name,
        ) from error
    return getattr(module, name)
