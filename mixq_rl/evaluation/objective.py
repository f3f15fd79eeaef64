"""What a search saves: bit operations, or time."""

from enum import StrEnum
from typing import Self

from mixq_rl.errors import InputError
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.registry import Registry

__all__ = ["Objective"]


class Objective(StrEnum):
    """By what an evaluation is compared with the float32 reference; of both kinds of saving more is better.

    ``BITOPS``: the reduction in bit operations. ``LATENCY``: the speed-up, the reference's seconds over the
    evaluation's, as they were measured: on this machine, under the load it had.

    Raises:
        UnknownNameError: for a name that is none of these.

    Example:
        >>> Objective("latency").saving(
        ...     Evaluation((8,), 0.8, 4.0, 4.0, 1.0, 16.0, seconds=0.002),
        ...     Evaluation((32,), 0.8, 16.0, 1.0, 16.0, 1.0, seconds=0.003),
        ... )
        1.5
    """

    BITOPS = "bitops"
    LATENCY = "latency"

    @classmethod
    def _missing_(cls, value: object) -> Self:
        known = Registry[Self]("objective")
        for objective in cls:
            known.register(objective.value)(objective)
        return known[str(value)]

    def saving(self, evaluation: Evaluation, reference: Evaluation) -> float:
        """Return how many times less ``evaluation`` costs than ``reference``; below 1 it costs more.

        Raises:
            InputError: for ``LATENCY``, if one of the two was not timed.
        """
        if self is Objective.BITOPS:
            return evaluation.reduction
        for timed in (evaluation, reference):
            if not timed.seconds > 0:
                raise InputError(
                    f"allocation {timed.allocation} took {timed.seconds} seconds: for the objective 'latency' "
                    "the evaluator has to measure them"
                )
        return reference.seconds / evaluation.seconds
