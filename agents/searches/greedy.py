"""Lowering bits one after another, each time where it costs least."""

from mixq_rl.agents.searches.problem import SearchProblem
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["greedy"]


def greedy(problem: SearchProblem) -> None:
    """Start from the highest bits and lower, step by step, the bits that cost least accuracy per halving of the cost.

    Sensitivities are measured where they are needed: at each allocation on the way every component is lowered by one
    bit-width, and evaluated. It ends when all components have their lowest bits: of n components and k bit-widths
    after at most n² (k - 1) evaluations or so.
    """
    evaluator = problem.evaluator
    widths = evaluator.bit_widths
    allocation = (widths[-1],) * len(evaluator.components)
    (here,) = evaluator.evaluate([allocation])
    while set(allocation) != {widths[0]}:
        lowered = [
            (*allocation[:place], widths[widths.index(bits) - 1], *allocation[place + 1 :])
            for place, bits in enumerate(allocation)
            if bits != widths[0]
        ]
        here = min(evaluator.evaluate(lowered), key=lambda evaluation: _price(problem, here, evaluation))
        allocation = here.allocation


def _price(problem: SearchProblem, before: Evaluation, after: Evaluation) -> tuple[float, float]:
    """Return the accuracy lost for each halving of the cost; of steps that lose none the widest comes first."""
    saved = max(problem.log_saving(after) - problem.log_saving(before), 1e-12)
    lost = before.accuracy - after.accuracy
    return (lost / saved, -saved) if lost > 0 else (lost * saved, -saved)
