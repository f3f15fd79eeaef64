"""Many episodes side by side, whose allocations are evaluated in one call."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from mixq_rl.envs import BitAllocationEnv
from mixq_rl.evaluation import Evaluator

__all__ = ["VectorizedBitAllocation", "spread_preferences"]


def spread_preferences(env: BitAllocationEnv, count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return preferences for so many episodes, ``[count]``: one from each of equal parts of [0, 1], shuffled.

    Of a reward that knows but one preference they are all that.
    """
    if env.reward.preference is not None:
        return np.full(count, env.reward.preference)
    return random.permutation((np.arange(count) + random.random(count)) / count)


class VectorizedBitAllocation(VecEnv):
    """Episodes of one environment in lockstep, for Stable-Baselines3.

    All have as many steps, so that they end together, and begin anew together.

    Args:
        env: says what is observed, rewarded and allowed.
        num_envs: number of episodes side by side.
        evaluator: says what allocations are worth; None: that of ``env``.
        seed: of the preferences drawn, which are spread evenly over [0, 1] in each round.
    """

    def __init__(
        self, env: BitAllocationEnv, num_envs: int, *, evaluator: Evaluator | None = None, seed: int = 0
    ) -> None:
        self._env = env
        super().__init__(num_envs, env.observation_space, env.action_space)
        self._evaluator = evaluator or env.evaluator
        self._random = np.random.default_rng(seed)
        self._bit_widths = np.asarray(env.evaluator.bit_widths)
        self._horizon = len(env.evaluator.components)
        self._preferences = np.zeros(num_envs)
        self._allocations = np.zeros((num_envs, 0), dtype=np.int64)
        self._actions = np.zeros(num_envs, dtype=np.int64)

    def reset(self) -> VecEnvObs:
        """Begin a round of episodes."""
        self._preferences = spread_preferences(self._env, self.num_envs, self._random)
        self._allocations = np.zeros((self.num_envs, 0), dtype=np.int64)
        return self._env.observe(self._allocations, self._preferences)

    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = np.asarray(actions)

    def step_wait(self) -> VecEnvStepReturn:
        chosen = self._bit_widths[self._actions][:, None]
        self._allocations = np.concatenate([self._allocations, chosen], axis=1)
        rewards = np.zeros(self.num_envs, dtype=np.float32)
        dones = np.zeros(self.num_envs, dtype=np.bool_)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        observations = self._env.observe(self._allocations, self._preferences)
        if self._allocations.shape[1] == self._horizon:
            evaluations = self._evaluator.evaluate(self._allocations.tolist())
            for index, (evaluation, preference) in enumerate(zip(evaluations, self._preferences, strict=True)):
                rewards[index] = self._env.reward(evaluation, self._evaluator.reference, float(preference))
                infos[index] = {
                    "evaluation": evaluation,
                    "preference": float(preference),
                    "terminal_observation": observations[index],
                    "TimeLimit.truncated": False,
                }
            dones[:] = True
            fresh = self.reset()
            assert isinstance(fresh, np.ndarray)
            observations = fresh
        return observations, rewards, dones, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions are allowed now, bool ``[episodes, bit-widths]``."""
        return self._env.masks(self._allocations)

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        source = self if attr_name == "action_masks" else self._env
        return [getattr(source, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        raise AttributeError(f"episodes share one environment: set {attr_name!r} there")

    def env_method(self, method_name: str, *arguments: Any, indices: VecEnvIndices = None, **options: Any) -> list[Any]:
        if method_name == "action_masks":
            return list(self.action_masks()[list(self._get_indices(indices))])
        return [getattr(self._env, method_name)(*arguments, **options) for _ in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        self._random = np.random.default_rng(seed)
        return [seed] * self.num_envs
