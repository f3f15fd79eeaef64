"""The Gymnasium environment: one episode of bit allocation."""

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from mixq_rl.envs.constraints import Constraints
from mixq_rl.envs.episodes import EpisodeRules, Episodes, ObservationFactory, check_preference
from mixq_rl.envs.observation import LayerStatistics
from mixq_rl.envs.reward import Reward
from mixq_rl.errors import InputError
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.evaluation.protocol import Evaluator

__all__ = ["BitAllocationEnv"]


class BitAllocationEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """Gymnasium environment in which each step chooses the bit-width of the next component.

    Observation: float32 ``[features]``, by default those of :class:`~mixq_rl.envs.LayerStatistics`.
    Action: index into ``evaluator.bit_widths``. Limits restrict it: see :meth:`action_masks`.
    Reward: 0 until the allocation is complete, then the value of ``reward`` for its evaluation.
    ``info``: ``"preference"`` after each call; ``"evaluation"`` (an :class:`~mixq_rl.Evaluation`) after the last step.

    Args:
        evaluator: evaluates complete allocations. A :class:`~mixq_rl.Ledger` around it evaluates none twice.
        preference: weight of the saving in the reward, in [0, 1]; None: the fixed preference of the reward if it has
            one, otherwise drawn uniformly for each episode.
        reward: formula of the reward; None: the trade-off with the reduction in bit operations. If the reward has a
            limit on bit operations, the constructor measures the cost of bits: about one evaluation for each component
            and one for each bit-width. The ledger keeps them.
        constraints: constraints on the allocations, such as bit-widths of components and the size of the network.
        observation: returns the observation for an evaluator, a cost of bits and a reward.
        render_mode: ``"ansi"`` or None.

    Attributes:
        rules: evaluator, reward, cost of bits and observation of all episodes.

    Raises:
        InputError: for a preference outside [0, 1], an unknown render mode, an evaluator without components or with
            missing statistics, limits that no allocation keeps, or constraints on components that do not exist.
        BitWidthError: for an evaluator with bit-widths outside 1...8, or constraints to bit-widths that it lacks.

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
        constraints: Constraints = Constraints(),
        observation: ObservationFactory = LayerStatistics,
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise InputError(f"render mode {render_mode!r} is not among {self.metadata['render_modes']}")
        self.rules = EpisodeRules(evaluator, reward=reward, constraints=constraints, observation=observation)
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Box(self.rules.observe.low, self.rules.observe.high)
        self.action_space = gymnasium.spaces.Discrete(len(self.evaluator.bit_widths))
        self._fixed_preference = self.reward.preference if preference is None else check_preference(preference)
        self._episode: Episodes | None = None

    @property
    def evaluator(self) -> Ledger:
        """The ledger of the evaluator, which evaluates each allocation once."""
        return self.rules.evaluator

    @property
    def reward(self) -> Reward:
        """The formula of the reward."""
        return self.rules.reward

    @property
    def allocation(self) -> tuple[int, ...]:
        """The bit-widths chosen so far."""
        return () if self._episode is None else tuple(self._episode.allocations[0].tolist())

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: seed of the preferences drawn from now on.
            options: ``{"preference": w}`` fixes the preference of this episode.

        Raises:
            InputError: for a preference outside [0, 1].
        """
        super().reset(seed=seed)
        given = (options or {}).get("preference", self._fixed_preference)
        preference = float(self.np_random.random()) if given is None else check_preference(given)
        self._episode = Episodes(self.rules, np.array([preference]))
        return self._episode.observe()[0], {"preference": preference}

    def step(self, action: np.int64 | int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Give the next component the bit-width ``evaluator.bit_widths[action]``.

        Raises:
            gymnasium.error.InvalidAction: for an index outside the bit-widths, or a bit-width that makes it impossible
                to keep the limits.
            gymnasium.error.ResetNeeded: if the episode has ended, or none has begun.
        """
        if not self.action_space.contains(action):
            raise gymnasium.error.InvalidAction(
                f"action {action!r} is not an index into the bit-widths {self.evaluator.bit_widths}"
            )
        episode = self._episode
        if episode is None or episode.finished:
            raise gymnasium.error.ResetNeeded("no episode is under way: call reset() to begin one")
        bits = self.evaluator.bit_widths[int(action)]
        mask = episode.masks()[0]
        if not mask[int(action)]:
            left = [width for width, allowed in zip(self.evaluator.bit_widths, mask, strict=True) if allowed]
            raise gymnasium.error.InvalidAction(
                f"{bits} bits for {self.evaluator.components[episode.step_index].name!r} would break the limits, which "
                f"leave {', '.join(map(str, left))} bits: choose among action_masks()"
            )
        episode.step([bits])
        info: dict[str, Any] = {"preference": float(episode.preferences[0])}
        if episode.step_index < self.rules.num_components:
            return episode.observe()[0], 0.0, False, False, info
        (evaluation,) = episode.evaluate()
        info["evaluation"] = evaluation
        return episode.observe()[0], episode.rewards([evaluation])[0], True, False, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions are allowed now, bool ``[bit-widths]``: those with which the limits can still be kept.

        Without limits all are allowed. MaskablePPO of sb3-contrib calls this method by its name.
        """
        return self.rules.masks([self.allocation])[0]

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
