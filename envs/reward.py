"""What a finished episode is worth."""

import math
from dataclasses import dataclass
from typing import Protocol

from mixq_rl.evaluation import Evaluation
from mixq_rl.objective import Objective

__all__ = ["Reward", "TradeOff"]

_ACCURACY_UNIT = 0.1
_LOG_SAVING_UNIT = 4.0


class Reward(Protocol):
    """From an evaluation, the float32 reference and the preference to a number."""

    def __call__(self, evaluation: Evaluation, reference: Evaluation, preference: float) -> float: ...


@dataclass(frozen=True)
class TradeOff:
    """(1 - w) (accuracy - float accuracy) / 0.1 + w log2(saving) / 4, w the preference.

    Args:
        objective: says what the saving is: the reduction in bit operations, or the speed-up.

    Raises:
        UnknownNameError: for an unknown objective.
        InputError: when called, if the objective is latency and an evaluation was not timed.
    """

    objective: Objective = Objective.BITOPS

    def __post_init__(self) -> None:
        object.__setattr__(self, "objective", Objective(self.objective))

    def __call__(self, evaluation: Evaluation, reference: Evaluation, preference: float) -> float:
        gain = (evaluation.accuracy - reference.accuracy) / _ACCURACY_UNIT
        saving = math.log2(self.objective.saving(evaluation, reference)) / _LOG_SAVING_UNIT
        return (1 - preference) * gain + preference * saving
