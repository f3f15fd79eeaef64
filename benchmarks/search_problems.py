"""Problems and searches of ``benchmarks/search.py``."""

import json
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning

from mixq_rl import BudgetSpent
from mixq_rl.agents import EvaluatorConfig, PPOSettings, SearchProblem, run_search
from mixq_rl.agents.allocation import pretrained
from mixq_rl.agents.ppo.algorithm import learn_from_rollouts, make_ppo
from mixq_rl.agents.searches.optuna_samplers import optimize
from mixq_rl.agents.searches.ppo import ppo
from mixq_rl.envs import BitAllocationEnv

__all__ = ["ALGORITHMS", "BUDGETS", "ENUMERATED", "FINE_TUNED", "LARGE", "MOST", "PROBLEMS", "search"]

SIX_WIDTHS = (1, 2, 3, 4, 6, 8)
JUMPING = f"{Path(__file__).parent / 'jumping_sage.py'}:make_model"

ENUMERATED = {name: EvaluatorConfig(dataset=name, model="gcn") for name in ("citation", "Cora", "CiteSeer")}
"""Two-layer GCNs at 2, 4 and 8 bits: all 3^9 allocations can be evaluated."""

THREE_WIDTHS = {"PROTEINS": EvaluatorConfig(dataset="PROTEINS", model="gin")}
"""The five-layer GIN at 2, 4 and 8 bits."""

LARGE = {
    "PROTEINS gin, 5 layers": EvaluatorConfig(dataset="PROTEINS", model="gin", bits=SIX_WIDTHS),
    "Cora gat, 3 layers": EvaluatorConfig(dataset="Cora", model="gat", num_layers=3, bits=SIX_WIDTHS),
    "CiteSeer tag, 3 layers": EvaluatorConfig(dataset="CiteSeer", model="tag", num_layers=3, bits=SIX_WIDTHS),
    "Facebook sage, 4 layers": EvaluatorConfig(dataset="Facebook", model=JUMPING, bits=SIX_WIDTHS),
}
"""Networks of 24 to 52 components at six bit-widths, with one supernet each."""

FINE_TUNED = {
    f"{name} gcn, each trained": EvaluatorConfig(dataset=name, evaluator="fine-tune", bits=SIX_WIDTHS)
    for name in ("Cora", "PT")
}
"""Each allocation is trained for itself, which takes seconds: few evaluations can be afforded."""

PROBLEMS = {**ENUMERATED, **THREE_WIDTHS, **LARGE, **FINE_TUNED}
BUDGETS = {
    **dict.fromkeys((*ENUMERATED, *THREE_WIDTHS), (32, 64, 128, 256, 512)),
    **dict.fromkeys(LARGE, (16, 32, 64, 128, 256, 512)),
    **dict.fromkeys(FINE_TUNED, (8, 16, 32)),
}

MOST = {"gp": 64}
"""Greatest number of evaluations of a search whose time grows with the cube of that number."""

_ROLLOUT = 16
_MOST_ROLLOUTS = 20


def search(algorithm: str, problem: SearchProblem) -> None:
    """Run a search, named as in the results, until the budget of the problem is spent."""
    kind, _, options = algorithm.partition(":")
    with suppress(BudgetSpent):
        if algorithm in ALGORITHMS:
            ALGORITHMS[algorithm](problem)
        elif options:
            given = (option.split("=") for option in options.split(","))
            ppo(problem, PPOSettings(**{option: json.loads(value) for option, value in given}))
        else:
            run_search(kind, problem)


def _started(problem: SearchProblem) -> None:
    ppo(replace(problem, start=pretrained()))


def _model_free(problem: SearchProblem) -> None:
    """PPO without a surrogate: each episode is executed on integers, in rollouts of 16 episodes."""
    env = BitAllocationEnv(problem.evaluator, reward=problem.reward)
    algorithm = make_ppo([env], [problem.evaluator], PPOSettings(rollout_episodes=_ROLLOUT), problem.seed)
    for _ in range(_MOST_ROLLOUTS * problem.evaluator.left // _ROLLOUT):
        learn_from_rollouts(algorithm, 1)


def _gaussian_process(problem: SearchProblem) -> None:
    """Optuna's Gaussian process sampler: expected hypervolume improvement."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = optuna.samplers.GPSampler(seed=problem.seed)
    optimize(problem, sampler)


ALGORITHMS: dict[str, Callable[[SearchProblem], None]] = {
    "ppo": _started,
    "ppo:from-scratch": ppo,
    "ppo:model-free": _model_free,
    "gp": _gaussian_process,
}
"""Searches beside those of the package: ``ppo`` begins with the policy of the package, as in ``mixq-rl search``."""
