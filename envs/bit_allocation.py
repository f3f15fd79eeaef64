"""The episode: one component after another gets its bit-width."""

import math
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixq_rl.envs.cost import BitCost
from mixq_rl.envs.observation import LayerStatistics, Observation
from mixq_rl.envs.reward import Reward, TradeOff
from mixq_rl.errors import InputError
from mixq_rl.evaluation import CachedEvaluator, Evaluator
from mixq_rl.nn import STATISTICS
from mixq_rl.quantization import check_bit_widths

__all__ = ["BitAllocationEnv", "ObservationFactory"]

ObservationFactory = Callable[[Evaluator, BitCost, Reward], Observation]


class BitAllocationEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """Each step gives the next component its bit-width; the reward comes with the last one.

    Observation: float32, what ``observation`` makes of the state: :class:`~mixq_rl.envs.LayerStatistics`.
    Action: index into ``evaluator.bit_widths``; with a limit on bit operations see :meth:`action_masks`.
    Reward: 0 until the allocation is complete, then what ``reward`` makes of its evaluation.
    ``info``: ``"preference"`` always; ``"evaluation"`` (an :class:`~mixq_rl.evaluation.Evaluation`) at the end.

    Args:
        evaluator: says what an allocation is worth; wrapped so that none is evaluated twice.
        preference: weight of the saving in the reward, in [0, 1]; None: drawn uniformly for each episode, unless the
            reward knows but one.
        reward: the formula; None: the trade-off with the reduction in bit operations. With a limit on bit operations
            the environment first measures what bits cost: an evaluation for each component and bit-width, remembered.
        observation: makes the observation of evaluator, cost and reward.
        render_mode: ``"ansi"`` or None.

    Attributes:
        evaluator: with its memory.
        cost: what bits cost: measured if a limit is to be kept, otherwise estimated.
        reward: as given.
        observation: as given.
        observe: makes observations.

    Raises:
        InputError: for a preference outside [0, 1], an evaluator without components or with statistics missing, or a
            limit that no allocation keeps.
        BitWidthError: for an evaluator with bit-widths outside 1...8.

    Example:
        >>> import gymnasium, mixq_rl.envs
        >>> env = gymnasium.make("mixq_rl/BitAllocation-v0", evaluator=evaluator)  # doctest: +SKIP
        >>> observation, info = env.reset(seed=0, options={"preference": 0.5})  # doctest: +SKIP
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012  declared so by Gymnasium

    def __init__(
        self,
        evaluator: Evaluator,
        *,
        preference: float | None = None,
        reward: Reward | None = None,
        observation: ObservationFactory = LayerStatistics,
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise InputError(f"render mode {render_mode!r} is not among {self.metadata['render_modes']}")
        _check_evaluator(evaluator)
        self.evaluator = evaluator if isinstance(evaluator, CachedEvaluator) else CachedEvaluator(evaluator)
        self.reward = reward or TradeOff()
        self.cost = _cost(self.evaluator, self.reward)
        self.observation = observation
        self.observe = observation(self.evaluator, self.cost, self.reward)
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Box(self.observe.low, self.observe.high)
        self.action_space = gymnasium.spaces.Discrete(len(self.evaluator.bit_widths))
        self._fixed_preference = self.reward.preference if preference is None else check_preference(preference)
        self._preference = 0.0
        self._allocation: list[int] | None = None

    @property
    def allocation(self) -> tuple[int, ...]:
        """The bit-widths chosen so far."""
        return tuple(self._allocation or ())

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: of the preferences drawn from now on.
            options: ``{"preference": w}`` fixes the preference of this episode.

        Raises:
            InputError: for a preference outside [0, 1].
        """
        super().reset(seed=seed)
        given = (options or {}).get("preference", self._fixed_preference)
        self._preference = float(self.np_random.random()) if given is None else check_preference(given)
        self._allocation = []
        return self._observation(), {"preference": self._preference}

    def step(self, action: np.int64 | int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Give the next component the bit-width ``evaluator.bit_widths[action]``.

        Raises:
            gymnasium.error.InvalidAction: for an index that is not on offer, or with which the limit on bit operations
                cannot be kept any more.
            gymnasium.error.ResetNeeded: if the episode has ended, or none has begun.
        """
        if not self.action_space.contains(action):
            raise gymnasium.error.InvalidAction(
                f"action {action!r} is not an index into the bit-widths {self.evaluator.bit_widths}"
            )
        if self._allocation is None or len(self._allocation) == len(self.evaluator.components):
            raise gymnasium.error.ResetNeeded("no episode is under way: call reset() to begin one")
        bits = self.evaluator.bit_widths[int(action)]
        if not self.action_masks()[int(action)]:
            raise gymnasium.error.InvalidAction(
                f"{bits} bits for {self.evaluator.components[len(self._allocation)].name!r} would exceed the limit of "
                f"{self.reward.max_bitops:.6g} bit operations: choose among action_masks()"
            )
        self._allocation.append(bits)
        info: dict[str, Any] = {"preference": self._preference}
        if len(self._allocation) < len(self.evaluator.components):
            return self._observation(), 0.0, False, False, info
        (evaluation,) = self.evaluator.evaluate([self._allocation])
        info["evaluation"] = evaluation
        reward = self.reward(evaluation, self.evaluator.reference, self._preference)
        return self._observation(), float(reward), True, False, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions are allowed now, bool ``[bit-widths]``: all, unless a limit would be out of reach.

        The name is the one that MaskablePPO of sb3-contrib asks for.
        """
        return self.masks([self.allocation])[0]

    def masks(self, allocations: ArrayLike) -> NDArray[np.bool_]:
        """Return which actions are allowed after the first t components have their bits.

        Args:
            allocations: of several episodes, ``[episodes, t]``.

        Returns:
            bool ``[episodes, bit-widths]``.
        """
        bits = np.asarray(allocations)
        if self.reward.max_bitops is None or bits.shape[1] == len(self.evaluator.components):
            return np.ones((len(bits), len(self.evaluator.bit_widths)), dtype=np.bool_)
        return self.cost.within(bits, self.reward.max_bitops)

    def render(self) -> str | None:
        """Return the table of components and bits, with render mode ``"ansi"``."""
        if self.render_mode is None:
            return None
        names = [component.name for component in self.evaluator.components]
        width = max(len(name) for name in names)
        lines = [f"{'component':<{width}}  bits"]
        for index, name in enumerate(names):
            bits = str(self.allocation[index]) if index < len(self.allocation) else "."
            lines.append(f"{name:<{width}}  {bits:>4}")
        return "\n".join(lines)

    def _observation(self) -> NDArray[np.float32]:
        return self.observe([self.allocation], [self._preference])[0]


def check_preference(preference: float) -> float:
    """Return a preference within [0, 1].

    Raises:
        InputError: for any other.
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


def _cost(evaluator: CachedEvaluator, reward: Reward) -> BitCost:
    if reward.max_bitops is None:
        return BitCost.estimated(evaluator.components, evaluator.bit_widths)
    cost = BitCost.measured(evaluator)
    count = len(evaluator.components)
    cheapest, dearest = evaluator.evaluate([[bits] * count for bits in (cost.bit_widths[0], cost.bit_widths[-1])])
    if reward.max_bitops < cheapest.bitops:
        raise InputError(
            f"a limit of {reward.max_bitops:.6g} bit operations cannot be kept: allocations take "
            f"{cheapest.bitops:.6g} ({cheapest.reduction:.4g}× fewer than float32) to {dearest.bitops:.6g} "
            f"({dearest.reduction:.4g}×)"
        )
    return cost
