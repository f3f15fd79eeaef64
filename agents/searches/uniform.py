"""One bit-width for all components."""

from mixq_rl.agents.searches.problem import SearchProblem

__all__ = ["uniform"]


def uniform(problem: SearchProblem) -> None:
    """Evaluate each bit-width on offer, everywhere: as many evaluations as there are bit-widths."""
    evaluator = problem.evaluator
    evaluator.evaluate([[bits] * len(evaluator.components) for bits in evaluator.bit_widths])
