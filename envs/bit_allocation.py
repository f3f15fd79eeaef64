"""The episode: one component after another gets its bit-width."""

import math
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from mixq_rl.envs.observation import FEATURES, LOW, observe
from mixq_rl.envs.reward import Reward, TradeOff
from mixq_rl.errors import InputError
from mixq_rl.evaluation import CachedEvaluator, Evaluator
from mixq_rl.nn import STATISTICS
from mixq_rl.quantization import check_bit_widths

__all__ = ["BitAllocationEnv"]


class BitAllocationEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """Each step gives the next component its bit-width; the reward comes with the last one.

    Observation: float32, one entry for each of :data:`~mixq_rl.envs.observation.FEATURES`, in [-1, 1].
    Action: index into ``evaluator.bit_widths``.
    Reward: 0 until the allocation is complete, then what ``reward`` makes of its evaluation.
    ``info``: ``"preference"`` always; ``"evaluation"`` (an :class:`~mixq_rl.evaluation.Evaluation`) at the end.

    Args:
        evaluator: says what an allocation is worth; wrapped so that none is evaluated twice.
        preference: weight of the saving in the reward, in [0, 1]; None: drawn uniformly for each episode.
        reward: the formula; None: the trade-off with the reduction in bit operations.
        render_mode: ``"ansi"`` or None.

    Raises:
        InputError: for a preference outside [0, 1], or an evaluator without components or with statistics missing.
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
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise InputError(f"render mode {render_mode!r} is not among {self.metadata['render_modes']}")
        _check_evaluator(evaluator)
        self.evaluator = evaluator if isinstance(evaluator, CachedEvaluator) else CachedEvaluator(evaluator)
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Box(LOW, np.ones(len(FEATURES), dtype=np.float32))
        self.action_space = gymnasium.spaces.Discrete(len(evaluator.bit_widths))
        self._reward = reward or TradeOff()
        self._fixed_preference = None if preference is None else _check_preference(preference)
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
        self._preference = float(self.np_random.random()) if given is None else _check_preference(given)
        self._allocation = []
        return self._observation(), {"preference": self._preference}

    def step(self, action: np.int64 | int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Give the next component the bit-width ``evaluator.bit_widths[action]``.

        Raises:
            gymnasium.error.InvalidAction: for an index that is not on offer.
            gymnasium.error.ResetNeeded: if the episode has ended, or none has begun.
        """
        if not self.action_space.contains(action):
            raise gymnasium.error.InvalidAction(
                f"action {action!r} is not an index into the bit-widths {self.evaluator.bit_widths}"
            )
        if self._allocation is None or len(self._allocation) == len(self.evaluator.components):
            raise gymnasium.error.ResetNeeded("no episode is under way: call reset() to begin one")
        self._allocation.append(self.evaluator.bit_widths[int(action)])
        info: dict[str, Any] = {"preference": self._preference}
        if len(self._allocation) < len(self.evaluator.components):
            return self._observation(), 0.0, False, False, info
        (evaluation,) = self.evaluator.evaluate([self._allocation])
        info["evaluation"] = evaluation
        reward = self._reward(evaluation, self.evaluator.reference, self._preference)
        return self._observation(), float(reward), True, False, info

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
        return observe(self.evaluator, self.allocation, self._preference)


def _check_evaluator(evaluator: Evaluator) -> None:
    if not evaluator.components:
        raise InputError("the evaluator has no components: there is nothing to allocate")
    check_bit_widths(evaluator.bit_widths)
    for component in evaluator.components:
        wrong = [name for name in STATISTICS if not math.isfinite(component.statistics.get(name, math.nan))]
        if wrong:
            raise InputError(f"component {component.name!r}: statistics {', '.join(wrong)} are missing or not finite")


def _check_preference(preference: float) -> float:
    if not 0.0 <= float(preference) <= 1.0:
        raise InputError(
            f"preference {preference} is outside [0, 1]: 0 asks for accuracy alone, 1 for the saving alone"
        )
    return float(preference)
