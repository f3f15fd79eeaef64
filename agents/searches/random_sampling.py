"""Search by random sampling."""

import numpy as np

from mixq_rl.agents.searches.problem import SearchProblem

__all__ = ["random_sampling"]

_BATCH = 16


def random_sampling(problem: SearchProblem) -> None:
    """Draw the bit-width of every component uniformly until the budget is spent. Repetitions do not count."""
    evaluator, random = problem.evaluator, np.random.default_rng(problem.seed)
    while evaluator.left:
        drawn = random.choice(evaluator.bit_widths, size=(_BATCH, len(evaluator.components)))
        evaluator.evaluate(drawn.tolist())
