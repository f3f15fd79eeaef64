"""Rewards of a finished episode: trade-off, greatest accuracy drop, greatest number of bit operations.

The accuracy is the ``merit`` of an evaluation.
"""

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
    """Base class of rewards: functions of an evaluation, the float32 reference and the preference.

    Attributes:
        preference: fixed preference of the reward; None: it takes any preference in [0, 1].
        max_drop: greatest tolerated drop of the accuracy, in [0, 1]; None: no such limit.
        max_bitops: greatest number of bit operations of an allocation; None: no such limit. The environment masks
            actions that would exceed it.
        objective: defines the saving.
    """

    preference: float | None = None
    max_drop: float | None = None
    max_bitops: float | None = None
    objective: Objective = BITOPS

    def allows(self, evaluation: Evaluation) -> bool:
        """Return whether an evaluation keeps the limit on bit operations, if there is one."""
        return self.max_bitops is None or evaluation.bitops <= self.max_bitops

    @abstractmethod
    def __call__(self, evaluation: Evaluation, reference: Evaluation, preference: float) -> float:
        """Return the reward of an episode that ended with ``evaluation``."""


@dataclass(frozen=True)
class TradeOff(Reward):
    """Reward (1 - w) (accuracy - float accuracy) / 0.1 + w log2(saving) / 4, where w is the preference.

    Args:
        objective: defines the saving; an objective, or its name in :data:`~mixq_rl.evaluation.objective.objectives`.

    Raises:
        UnknownNameError: for an unknown objective.
        InputError: when called, if an evaluation has no cost, for example because no time was measured.
    """

    objective: Objective = BITOPS

    def __post_init__(self) -> None:
        object.__setattr__(self, "objective", _objective(self.objective))

    def __call__(self, evaluation: Evaluation, reference: Evaluation, preference: float) -> float:
        gain = _gain(evaluation, reference)
        return (1 - preference) * gain + preference * _saving(self.objective, evaluation, reference)


@dataclass(frozen=True)
class MaxDrop(Reward):
    """Reward log2(saving) / 4 if the accuracy drops by at most ``max_drop``, otherwise minus the violation / 0.1.

    The violation is the drop minus ``max_drop``.

    Args:
        max_drop: greatest tolerated drop below float32, in [0, 1]: 0.003 for 0.3 points.
        objective: as in :class:`TradeOff`.
        max_bitops: greatest number of bit operations as well, as in :class:`MaxBitOps`; None: no such limit.

    Raises:
        InputError: for a drop outside [0, 1], or a limit that is not positive.
        UnknownNameError: for an unknown objective.
    """

    max_drop: float = 0.0
    objective: Objective = BITOPS
    max_bitops: float | None = None
    preference = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_drop <= 1.0:
            raise InputError(f"an accuracy drop of {self.max_drop} is outside [0, 1]")
        _check_positive(self.max_bitops)
        object.__setattr__(self, "objective", _objective(self.objective))

    def __call__(self, evaluation: Evaluation, reference: Evaluation, preference: float) -> float:
        violation = reference.merit - self.max_drop - evaluation.merit
        # A difference smaller than this is rounding.
        if violation > 1e-9:
            return -violation / _ACCURACY_UNIT
        return _saving(self.objective, evaluation, reference)


@dataclass(frozen=True)
class MaxBitOps(Reward):
    """Reward (accuracy - float accuracy) / 0.1. Masked actions keep the limit.

    Args:
        max_bitops: greatest number of bit operations of the whole network, convention ``linear``.

    Raises:
        InputError: for a limit that is not positive.
    """

    max_bitops: float = math.inf
    preference = 0.0

    def __post_init__(self) -> None:
        _check_positive(self.max_bitops)

    def __call__(self, evaluation: Evaluation, reference: Evaluation, preference: float) -> float:
        return _gain(evaluation, reference)


def _check_positive(max_bitops: float | None) -> None:
    if max_bitops is not None and not max_bitops > 0:
        raise InputError(f"a limit of {max_bitops} bit operations: it must be positive")


def _gain(evaluation: Evaluation, reference: Evaluation) -> float:
    return (evaluation.merit - reference.merit) / _ACCURACY_UNIT


def _objective(given: Objective | str) -> Objective:
    return objectives[given] if isinstance(given, str) else given


def _saving(objective: Objective, evaluation: Evaluation, reference: Evaluation) -> float:
    return math.log2(objective.saving(evaluation, reference)) / _LOG_SAVING_UNIT
