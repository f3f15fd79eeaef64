"""Episodes of bit allocation, any number of them in lockstep, and the rules that they share."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixq_rl.envs.constraints import Constraints
from mixq_rl.envs.cost import BitCost
from mixq_rl.envs.observation import LayerStatistics, Observation
from mixq_rl.envs.reward import Reward, TradeOff
from mixq_rl.errors import InputError
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.evaluation.protocol import Evaluation, Evaluator
from mixq_rl.nn import STATISTICS
from mixq_rl.quantization import check_bit_widths

__all__ = ["EpisodeRules", "Episodes", "ObservationFactory", "check_preference"]

ObservationFactory = Callable[[Evaluator, BitCost, Reward], Observation]


class EpisodeRules:
    """Rules that all episodes on one evaluator share: the observation, the allowed actions and the reward.

    Args:
        evaluator: evaluates complete allocations. A :class:`~mixq_rl.Ledger` around it evaluates none twice.
        reward: formula of the reward; None: the trade-off with the reduction in bit operations.
        constraints: constraints on the allocations. If they or the reward have a limit on bit operations, the cost of
            bits is measured by the evaluations of :meth:`~mixq_rl.envs.limits.Limits.probes`. The ledger keeps them.
        observation: returns the observation for an evaluator, a cost of bits and a reward.

    Attributes:
        evaluator: ledger of the evaluator.
        reward: formula of the reward.
        constraints: as given.
        limits: limits on allocations that follow from the constraints, the reward and the evaluator.
        measured: whether the cost of bits was measured, for a limit on bit operations.
        cost: cost of bits: measured or estimated.
        observation: as given.
        observe: the observation that ``observation`` returned.

    Raises:
        InputError: for an evaluator without components or with missing statistics, limits that no allocation keeps, or
            constraints on components that do not exist.
        BitWidthError: for an evaluator with bit-widths outside 1...8, or constraints to bit-widths that it lacks.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        *,
        reward: Reward | None = None,
        constraints: Constraints = Constraints(),
        observation: ObservationFactory = LayerStatistics,
    ) -> None:
        _check_evaluator(evaluator)
        self.evaluator = Ledger.of(evaluator)
        self.reward = reward or TradeOff()
        self.constraints = constraints
        self.limits, measured = constraints.resolve(self.evaluator, self.reward.max_bitops)
        self.measured = measured is not None
        self.cost = measured or BitCost.estimated(self.evaluator.components, self.evaluator.bit_widths)
        self.observation = observation
        self.observe = observation(self.evaluator, self.cost, self.reward)

    @property
    def num_components(self) -> int:
        """Number of steps of an episode."""
        return len(self.evaluator.components)

    def masks(self, allocations: ArrayLike) -> NDArray[np.bool_]:
        """Return which bit-widths are allowed for the next component: all, without limits.

        Args:
            allocations: bit-widths of the first t components in several episodes, ``[episodes, t]``.

        Returns:
            bool ``[episodes, bit-widths]``.
        """
        bits = np.asarray(allocations)
        if bits.shape[1] == self.num_components:
            return np.ones((len(bits), len(self.evaluator.bit_widths)), dtype=np.bool_)
        return self.limits.masks(bits)

    def allows(self, allocation: Sequence[int]) -> bool:
        """Return whether every step of a complete allocation is allowed."""
        return bool(self.limits.keeps([allocation])[0])


class Episodes:
    """Episodes in lockstep: each step gives the next component its bit-width in every episode.

    Everything that plays episodes uses this class: :class:`~mixq_rl.envs.BitAllocationEnv` with one episode, the
    vectorized environment of the agent, the roll-outs of a policy, and behaviour cloning.

    Args:
        rules: rules of the episodes.
        preferences: weight of the saving in the reward, ``[episodes]``, each within [0, 1].
        evaluator: evaluates complete allocations; None: that of the rules. With a surrogate the episodes are model
            rollouts.
        allocations: bit-widths chosen already, ``[episodes, t]``; None: none are chosen yet.

    Attributes:
        rules: as given.
        preferences: as given.
        allocations: bit-widths chosen so far, int64 ``[episodes, t]``.
    """

    def __init__(
        self,
        rules: EpisodeRules,
        preferences: NDArray[np.float64],
        *,
        evaluator: Evaluator | None = None,
        allocations: NDArray[np.int64] | None = None,
    ) -> None:
        self.rules = rules
        self.preferences = preferences
        self._evaluator = rules.evaluator if evaluator is None else evaluator
        self.allocations = np.zeros((len(preferences), 0), dtype=np.int64) if allocations is None else allocations

    @property
    def step_index(self) -> int:
        """Index of the component that gets its bit-width next."""
        return int(self.allocations.shape[1])

    @property
    def finished(self) -> bool:
        """Whether all components have their bit-widths."""
        return self.step_index == self.rules.num_components

    def observe(self) -> NDArray[np.float32]:
        """Return the observations, ``[episodes, features]``."""
        return self.rules.observe(self.allocations, self.preferences)

    def masks(self) -> NDArray[np.bool_]:
        """Return which bit-widths are allowed now, bool ``[episodes, bit-widths]``."""
        return self.rules.masks(self.allocations)

    def step(self, bits: ArrayLike) -> None:
        """Choose the bit-widths of the next component.

        Args:
            bits: one bit-width for each episode, ``[episodes]``, among those that :meth:`masks` allows.
        """
        self.allocations = np.concatenate([self.allocations, np.asarray(bits, dtype=np.int64)[:, None]], axis=1)

    def evaluate(self) -> list[Evaluation]:
        """Return the evaluations of finished episodes."""
        return self._evaluator.evaluate(self.allocations.tolist())

    def rewards(self, evaluations: Sequence[Evaluation]) -> list[float]:
        """Return the rewards of finished episodes, given what :meth:`evaluate` returned."""
        reference = self.rules.evaluator.reference
        pairs = zip(evaluations, self.preferences.tolist(), strict=True)
        return [float(self.rules.reward(evaluation, reference, preference)) for evaluation, preference in pairs]


def check_preference(preference: float) -> float:
    """Return ``preference`` if it is within [0, 1].

    Raises:
        InputError: for a preference outside [0, 1].
    """
    if not 0.0 <= float(preference) <= 1.0:
        raise InputError(
            f"preference {preference} is outside [0, 1]: 0 asks for accuracy alone, 1 for the saving alone"
        )
    return float(preference)


def _check_evaluator(evaluator: Evaluator) -> None:
    if not evaluator.components:
        raise InputError("the evaluator has no components: there is nothing to allocate")
    check_bit_widths(evaluator.bit_widths)
    for component in evaluator.components:
        wrong = [name for name in STATISTICS if not math.isfinite(component.statistics.get(name, math.nan))]
        if wrong:
            raise InputError(f"component {component.name!r}: statistics {', '.join(wrong)} are missing or not finite")
