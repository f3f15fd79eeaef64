"""What a finished episode is worth: three ways to say what is wanted."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from mixq_rl.errors import InputError
from mixq_rl.evaluation.objective import BITOPS, Objective, objectives
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["MaxBitOps", "MaxDrop", "Reward", "TradeOff"]

_ACCURACY_UNIT = 0.1
_LOG_SAVING_UNIT = 4.0


class Reward(ABC):
    """From an evaluation, the float32 reference and the preference to a number.

    Attributes:
        preference: the only preference that makes sense with it; None: any in [0, 1].
        max_drop: of accuracy, in [0, 1], that is tolerated; None: no such limit.
        max_bitops: that an allocation may cost; None: no such limit. The environment masks what would exceed it.
        objective: what is saved.
    """

    preference: float | None = None
    max_drop: float | None = None
    max_bitops: float | None = None
    objective: Objective = BITOPS

    @abstractmethod
    def __call__(self, evaluation: Evaluation, reference: Evaluation, preference: float) -> float:
        """Return the reward of an episode that ended with ``evaluation``."""


@dataclass(frozen=True)
class TradeOff(Reward):
    """(1 - w) (accuracy - float accuracy) / 0.1 + w log2(saving) / 4, w the preference.

    Args:
        objective: defines the saving; an objective, or its name in :data:`~mixq_rl.evaluation.objective.objectives`.

    Raises:
        UnknownNameError: for an unknown objective.
        InputError: when called, if an evaluation has no cost, such as a time that was not measured.
    """

    objective: Objective = BITOPS

    def __post_init__(self) -> None:
        object.__setattr__(self, "objective", _objective(self.objective))

    def __call__(self, evaluation: Evaluation, reference: Evaluation, preference: float) -> float:
        gain = _gain(evaluation, reference)
        return (1 - preference) * gain + preference * _saving(self.objective, evaluation, reference)


@dataclass(frozen=True)
class MaxDrop(Reward):
    """log2(saving) / 4 while the accuracy drops by no more than ``max_drop``; otherwise minus the violation / 0.1.

    Args:
        max_drop: against float32, in [0, 1]: 0.003 for 0.3 points.
        objective: as of :class:`TradeOff`.

    Raises:
        InputError: for a drop outside [0, 1].
        UnknownNameError: for an unknown objective.
    """

    max_drop: float = 0.0
    objective: Objective = BITOPS
    preference = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_drop <= 1.0:
            raise InputError(f"an accuracy drop of {self.max_drop} is outside [0, 1]")
        object.__setattr__(self, "objective", _objective(self.objective))

    def __call__(self, evaluation: Evaluation, reference: Evaluation, preference: float) -> float:
        violation = reference.accuracy - self.max_drop - evaluation.accuracy
        # Accuracies are fractions of a whole number of nodes: what differs by less than rounding is equal.
        if violation > 1e-9:
            return -violation / _ACCURACY_UNIT
        return _saving(self.objective, evaluation, reference)


@dataclass(frozen=True)
class MaxBitOps(Reward):
    """(accuracy - float accuracy) / 0.1: the limit is kept by masked actions.

    Args:
        max_bitops: of the whole network, convention ``linear``.

    Raises:
        InputError: for a limit that is not positive.
    """

    max_bitops: float = math.inf
    preference = 0.0

    def __post_init__(self) -> None:
        if not self.max_bitops > 0:
            raise InputError(f"a limit of {self.max_bitops} bit operations: it must be positive")

    def __call__(self, evaluation: Evaluation, reference: Evaluation, preference: float) -> float:
        return _gain(evaluation, reference)


def _gain(evaluation: Evaluation, reference: Evaluation) -> float:
    return (evaluation.accuracy - reference.accuracy) / _ACCURACY_UNIT


def _objective(given: Objective | str) -> Objective:
    return objectives[given] if isinstance(given, str) else given


def _saving(objective: Objective, evaluation: Evaluation, reference: Evaluation) -> float:
    return math.log2(objective.saving(evaluation, reference)) / _LOG_SAVING_UNIT
