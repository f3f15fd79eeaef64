"""What a finished episode is worth."""

import math
from dataclasses import dataclass
from typing import Protocol

from mixq_rl.evaluation import Evaluation

__all__ = ["Reward", "TradeOff"]

_ACCURACY_UNIT = 0.1
_LOG_REDUCTION_UNIT = 4.0


class Reward(Protocol):
    """From an evaluation, the float32 reference and the preference to a number."""

    def __call__(self, evaluation: Evaluation, reference: Evaluation, preference: float) -> float: ...


@dataclass(frozen=True)
class TradeOff:
    """(1 - w) (accuracy - float accuracy) / 0.1 + w log2(reduction) / 4, w the preference."""

    def __call__(self, evaluation: Evaluation, reference: Evaluation, preference: float) -> float:
        gain = (evaluation.accuracy - reference.accuracy) / _ACCURACY_UNIT
        saving = math.log2(evaluation.reduction) / _LOG_REDUCTION_UNIT
        return (1 - preference) * gain + preference * saving
