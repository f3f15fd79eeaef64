"""Greedy search, which lowers one bit-width at a time."""

from mixq_rl.agents.searches.problem import SearchProblem
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["greedy"]


def greedy(problem: SearchProblem) -> None:
    """Lower bit-widths one by one from the highest, each time with the least loss of accuracy per halving of the cost.

    It begins with the highest allocation within the limits. Each step evaluates all allocations in which one component
    has its next lower bit-width. The search ends when all components have their lowest bit-width, or none of these
    allocations can be evaluated. With n components and k bit-widths it makes at most about n² (k - 1) evaluations.
    """
    evaluator, limits = problem.evaluator, problem.limits
    allocation = limits.highest
    (here,) = evaluator.evaluate([allocation])
    while allocation != limits.lowest:
        lowered = [
            (*allocation[:place], widths[widths.index(bits) - 1], *allocation[place + 1 :])
            for place, (bits, widths) in enumerate(zip(allocation, limits.allowed, strict=True))
            if bits != widths[0]
        ]
        made = evaluator.attempt(lowered)
        if not made:
            return
        here = min(made, key=lambda evaluation: _price(problem, here, evaluation))
        allocation = here.allocation


def _price(problem: SearchProblem, before: Evaluation, after: Evaluation) -> tuple[float, float]:
    """Return the accuracy lost for each halving of the cost. Without loss the greatest saving is lowest."""
    saved = max(problem.log_saving(after) - problem.log_saving(before), 1e-12)
    lost = before.merit - after.merit
    return (lost / saved, -saved) if lost > 0 else (lost * saved, -saved)
