"""Configuration of a run of ``mixq-rl train`` or ``transfer``."""

import math
from dataclasses import dataclass, field, fields
from typing import ClassVar

from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.envs import MaxBitOps, MaxDrop, Reward, TradeOff
from mixq_rl.errors import InputError
from mixq_rl.evaluation.objective import BITOPS, Objective, objectives
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["RunConfig"]

_LIMITS = ("max_drop", "max_bitops", "max_reduction")


@dataclass(frozen=True, kw_only=True)
class RunConfig(EvaluatorConfig):
    """Configuration of a run.

    On one machine equal configurations give equal results, unless time is the objective. ``max_drop`` asks for the
    greatest saving, ``max_bitops`` or ``max_reduction`` for the highest accuracy; both together for the greatest saving
    within both limits. Without them the reward is the trade-off, at all preferences. ``pin``, ``bits_of`` and
    ``max_size`` restrict the allocations of any search, and do not change the reward.

    Attributes:
        episodes: number of episodes of the search, at least 1; each evaluates a new allocation.
        max_drop: greatest tolerated drop of the metric below float32, in points.
        max_bitops: greatest number of bit operations of the network, convention ``linear``.
        max_reduction: the limit ``max_bitops`` as the bit operations of float32 over this number.
        policy: folder of a policy, or of the run that trained it; empty: the policy that comes with the package. Its 16
            proposals are evaluated first. With more episodes than that a new policy learns.
        from_scratch: whether the search begins without such proposals.
        others: see :class:`~mixq_rl.agents.records.evaluator_config.EvaluatorConfig`.

    Raises:
        InputError: for a value out of bounds, limits that contradict each other, or an unknown model, objective,
            evaluator or scheme.
    """

    episodes: int = field(
        default=256,
        metadata={"help": "Number of episodes of the search; each evaluates a new allocation."},
    )
    max_drop: float | None = field(
        default=None,
        metadata={"help": "Save as much as possible at most this many points of the metric below float32: 0.3."},
    )
    max_bitops: float | None = field(
        default=None,
        metadata={"help": "Be as accurate as possible with at most this many bit operations (linear): 1.2e9."},
    )
    max_reduction: float | None = field(
        default=None,
        metadata={"help": "As --max-bitops, with a limit of float32's bit operations divided by this number: 12."},
    )
    policy: str = ""
    from_scratch: bool = field(
        default=False,
        metadata={
            "help": "Begin without the proposals of a policy that learned on other tasks.",
            "names": ("--from-scratch",),
        },
    )

    _PATHS: ClassVar[tuple[str, ...]] = (*EvaluatorConfig._PATHS, "policy")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.episodes < 1:
            raise InputError(f"{self.episodes} episodes: at least 1 is needed")
        if self.from_scratch and self.policy:
            raise InputError(f"from_scratch and the policy {self.policy!r}: choose one of the two")
        given = self.limits
        if {"max_bitops", "max_reduction"} <= given.keys():
            raise InputError("max_bitops and max_reduction: both limit the bit operations: choose one of the two")
        if self.max_drop is not None and not 0 <= self.max_drop <= 100:
            raise InputError(f"a drop of at most {self.max_drop:g} points: it must be within 0...100")
        if self.max_bitops is not None:
            MaxBitOps(self.max_bitops)
        if self.max_reduction is not None and not 0 < self.max_reduction < math.inf:
            raise InputError(f"{self.max_reduction:g} times fewer bit operations: it must be positive and finite")
        if self.saved is not BITOPS and self.limits_bitops and self.max_drop is None:
            raise InputError(
                f"a limit on bit operations and the objective {self.objective}: such a search asks for accuracy alone; "
                "add max_drop, or choose one of the two"
            )

    @property
    def saved(self) -> Objective:
        """The objective."""
        return objectives[self.objective]

    @property
    def limits(self) -> dict[str, float]:
        """The given limits, by name of the field."""
        values = {name: getattr(self, name) for name in _LIMITS}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def limits_bitops(self) -> bool:
        """Whether the bit operations are limited."""
        return self.max_bitops is not None or self.max_reduction is not None

    def evaluator_config(self) -> EvaluatorConfig:
        """Return the part of the configuration that describes the evaluator."""
        return EvaluatorConfig(**{field.name: getattr(self, field.name) for field in fields(EvaluatorConfig)})

    def reward(self, reference: Evaluation) -> Reward:
        """Return the reward that follows from the limits.

        Args:
            reference: evaluation of the float32 network.
        """
        limit = self.max_bitops if self.max_reduction is None else reference.bitops / self.max_reduction
        if self.max_drop is not None:
            return MaxDrop(self.max_drop / 100, self.saved, limit)
        return TradeOff(self.saved) if limit is None else MaxBitOps(limit)
