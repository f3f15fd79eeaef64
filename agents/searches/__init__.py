"""Search algorithms over allocations, and their registry."""

from collections.abc import Callable

from mixq_rl.agents.searches.greedy import greedy
from mixq_rl.agents.searches.optuna_samplers import nsga2, tpe
from mixq_rl.agents.searches.ppo import ppo
from mixq_rl.agents.searches.problem import SearchProblem
from mixq_rl.agents.searches.random_sampling import random_sampling
from mixq_rl.agents.searches.relaxed import relaxed
from mixq_rl.agents.searches.uniform import uniform
from mixq_rl.evaluation.ledger import BudgetSpent
from mixq_rl.registry import Registry

__all__ = ["Search", "SearchProblem", "run_search", "searches"]

Search = Callable[[SearchProblem], None]
"""Requests evaluations of the problem's evaluator, and returns when it has finished; ``BudgetSpent`` may end it."""

searches: Registry[Search] = Registry("algorithm")
searches.register("ppo")(ppo)
searches.register("uniform")(uniform)
searches.register("random")(random_sampling)
searches.register("greedy")(greedy)
searches.register("tpe")(tpe)
searches.register("nsga2")(nsga2)
searches.register("relaxed")(relaxed)


def run_search(name: str, problem: SearchProblem) -> None:
    """Run a search until it has finished or spent the budget. The results are ``problem.evaluator.evaluations``.

    Raises:
        UnknownNameError: for a search that is not among ``searches``.
    """
    search = searches[name]
    try:
        search(problem)
    except BudgetSpent:
        return
