"""Vectorized environment: many episodes of one or several environments, evaluated together."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from mixq_rl.agents.ppo.policy import action_space, bits_of, policy_masks
from mixq_rl.agents.ppo.proposals import spread_preferences
from mixq_rl.envs import BitAllocationEnv, Episodes
from mixq_rl.errors import InputError
from mixq_rl.evaluation.protocol import Evaluator

__all__ = ["VectorizedBitAllocation"]


class VectorizedBitAllocation(VecEnv):
    """Vectorized environment of Stable-Baselines3 that plays :class:`~mixq_rl.envs.Episodes` of several environments.

    There are as many groups of episodes as environments. The episodes of a group are in lockstep. When they end, the
    group draws its next environment; each environment is drawn once before any is drawn again. The action space is
    :func:`~mixq_rl.agents.ppo.policy.action_space` for any set of bit-widths.

    Args:
        envs: environments, whose rules the episodes follow; all have the same kind of observation.
        num_envs: number of episodes played at once.
        evaluators: evaluators of the complete allocations, one for each of ``envs``; None: those of ``envs``.
        seed: seed of the draws of environments and preferences. Preferences are spread evenly over [0, 1] in each
            group.

    Raises:
        InputError: if the observations differ, or there are fewer episodes than environments.
    """

    def __init__(
        self,
        envs: Sequence[BitAllocationEnv],
        num_envs: int,
        *,
        evaluators: Sequence[Evaluator] | None = None,
        seed: int = 0,
    ) -> None:
        if any(env.rules.observation is not envs[0].rules.observation for env in envs):
            raise InputError("environments that observe differently cannot train one policy")
        if num_envs < len(envs):
            raise InputError(f"{num_envs} episodes side by side for {len(envs)} environments: each needs one")
        self._random = np.random.default_rng(seed)
        given = evaluators or [env.evaluator for env in envs]
        self._tasks = list(zip(envs, given, strict=True))
        self._deck: list[int] = []
        self._slices = [slice(part[0], part[-1] + 1) for part in np.array_split(np.arange(num_envs), len(envs))]
        self._drawn = [0] * len(envs)  # the environment of each group
        self._groups = self._begin_all()
        self._actions = np.zeros(num_envs, dtype=np.int64)
        super().__init__(num_envs, envs[0].observation_space, action_space())

    def reset(self) -> VecEnvObs:
        """Begin all episodes, and return their observations, ``[episodes, features]``."""
        self._deck = []
        self._groups = self._begin_all()
        return np.concatenate([group.observe() for group in self._groups])

    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = np.asarray(actions)

    def step_wait(self) -> VecEnvStepReturn:
        rewards = np.zeros(self.num_envs, dtype=np.float32)
        dones = np.zeros(self.num_envs, dtype=np.bool_)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        observations = []
        for index, (place, group) in enumerate(zip(self._slices, self._groups, strict=True)):
            group.step(bits_of(self._actions[place]))
            observed = group.observe()
            if group.finished:
                evaluations = group.evaluate()
                rewards[place], dones[place] = group.rewards(evaluations), True
                infos[place] = [
                    {
                        "evaluation": evaluation,
                        "preference": preference,
                        "TimeLimit.truncated": False,
                        "terminal_observation": last,
                    }
                    for evaluation, preference, last in zip(
                        evaluations, group.preferences.tolist(), observed, strict=True
                    )
                ]
                self._groups[index] = self._begin(index)
                observed = self._groups[index].observe()
            observations.append(observed)
        return np.concatenate(observations), rewards, dones, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions are allowed now, bool ``[episodes, 8]``."""
        return np.concatenate([policy_masks(group) for group in self._groups])

    def close(self) -> None:
        """Do nothing: no resource is open."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        if attr_name == "action_masks":
            return [self.action_masks for _ in self._get_indices(indices)]
        envs = [
            self._tasks[task][0]
            for task, group in zip(self._drawn, self._groups, strict=True)
            for _ in group.preferences
        ]
        return [getattr(envs[index], attr_name) for index in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        raise AttributeError(f"episodes share one environment: set {attr_name!r} there")

    def env_method(self, method_name: str, *arguments: Any, indices: VecEnvIndices = None, **options: Any) -> list[Any]:
        if method_name == "action_masks":
            return list(self.action_masks()[list(self._get_indices(indices))])
        return [method(*arguments, **options) for method in self.get_attr(method_name, indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        self._random = np.random.default_rng(seed)
        return [seed] * self.num_envs

    def state_dict(self) -> dict[str, Any]:
        """Return the state of all episodes and of the draws of environments."""
        return {
            "random": self._random.bit_generator.state,
            "deck": list(self._deck),
            "groups": [
                {"env": task, "preferences": group.preferences, "allocations": group.allocations}
                for task, group in zip(self._drawn, self._groups, strict=True)
            ],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned."""
        self._random.bit_generator.state = state["random"]
        self._deck = list(state["deck"])
        self._drawn = [own["env"] for own in state["groups"]]
        self._groups = [self._play(own["env"], own["preferences"], own["allocations"]) for own in state["groups"]]

    def _begin_all(self) -> list[Episodes]:
        return [self._begin(index) for index in range(len(self._slices))]

    def _begin(self, index: int) -> Episodes:
        """Draw the next environment of a group, and return new episodes of it."""
        if not self._deck:
            self._deck = self._random.permutation(len(self._tasks)).tolist()
        task, place = self._deck.pop(), self._slices[index]
        self._drawn[index] = task
        env, _ = self._tasks[task]
        return self._play(task, spread_preferences(env.reward, place.stop - place.start, self._random))

    def _play(
        self, task: int, preferences: NDArray[np.float64], allocations: NDArray[np.int64] | None = None
    ) -> Episodes:
        env, evaluator = self._tasks[task]
        return Episodes(env.rules, preferences, evaluator=evaluator, allocations=allocations)
