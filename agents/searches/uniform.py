"""Search over uniform allocations: one bit-width for all components, as far as limits allow it."""

from mixq_rl.agents.searches.problem import SearchProblem

__all__ = ["uniform"]


def uniform(problem: SearchProblem) -> None:
    """Evaluate each bit-width on offer for all components, one evaluation for each bit-width.

    A component that may not have the bit-width has the nearest that it may have. Bit-widths for which the allocation
    does not keep the limits are left out.
    """
    problem.evaluator.attempt(list(problem.limits.uniform.values()))
