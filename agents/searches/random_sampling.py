"""Search by random sampling."""

import numpy as np

from mixq_rl.agents.searches.problem import SearchProblem

__all__ = ["random_sampling"]

_BATCH = 16
_FRUITLESS = 128


def random_sampling(problem: SearchProblem) -> None:
    """Draw the bit-width of every component uniformly until the budget is spent. Repetitions do not count.

    Component after component, a bit-width that the limits do not allow is drawn again among those that they allow. The
    search ends after 128 batches without a new allocation: limits may leave fewer than the budget.
    """
    evaluator, random = problem.evaluator, np.random.default_rng(problem.seed)
    limits, fruitless = problem.limits, 0
    while evaluator.left and fruitless < _FRUITLESS:
        drawn = random.choice(evaluator.bit_widths, size=(_BATCH, len(evaluator.components)))
        before = evaluator.left
        evaluator.attempt(limits.completed(drawn, random).tolist())
        fruitless = fruitless + 1 if evaluator.left == before else 0
