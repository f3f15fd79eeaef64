"""Search over uniform allocations: one bit-width for all components."""

from mixq_rl.agents.searches.problem import SearchProblem

__all__ = ["uniform"]


def uniform(problem: SearchProblem) -> None:
    """Evaluate each bit-width on offer for all components, one evaluation for each bit-width."""
    evaluator = problem.evaluator
    evaluator.evaluate([[bits] * len(evaluator.components) for bits in evaluator.bit_widths])
