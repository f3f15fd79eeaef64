"""Many episodes side by side, of one environment or several, whose allocations are evaluated together."""

from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from mixq_rl.agents.policy import action_space, bits_of, masks_of
from mixq_rl.agents.proposals import spread_preferences
from mixq_rl.envs import BitAllocationEnv
from mixq_rl.errors import InputError
from mixq_rl.evaluation import Evaluator

__all__ = ["VectorizedBitAllocation"]


class VectorizedBitAllocation(VecEnv):
    """Episodes of one environment or several, for Stable-Baselines3.

    There are as many groups of episodes as environments. The episodes of a group are in lockstep; when they end, the
    group draws its next environment: each is drawn once before any is drawn again. Actions are
    :func:`~mixq_rl.agents.policy.action_space`'s, whatever bit-widths an environment offers.

    Args:
        envs: say what is observed, rewarded and allowed; all observe alike.
        num_envs: number of episodes side by side.
        evaluators: say what allocations are worth, one for each of ``envs``; None: those of ``envs``.
        seed: of the environments drawn and of the preferences, which are spread evenly over [0, 1] in each group.

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
        if any(env.observation is not envs[0].observation for env in envs):
            raise InputError("environments that observe differently cannot train one policy")
        if num_envs < len(envs):
            raise InputError(f"{num_envs} episodes side by side for {len(envs)} environments: each needs one")
        self._random = np.random.default_rng(seed)
        given = evaluators or [env.evaluator for env in envs]
        self._tasks = list(zip(envs, given, strict=True))
        self._deck: list[int] = []
        sizes = [len(part) for part in np.array_split(np.arange(num_envs), len(envs))]
        self._groups = [_Group(size) for size in sizes]
        for group in self._groups:
            self._begin(group)
        self._actions = np.zeros(num_envs, dtype=np.int64)
        super().__init__(num_envs, envs[0].observation_space, action_space())

    def reset(self) -> VecEnvObs:
        """Begin all episodes."""
        self._deck = []
        for group in self._groups:
            self._begin(group)
        return np.concatenate([group.observe() for group in self._groups])

    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = np.asarray(actions)

    def step_wait(self) -> VecEnvStepReturn:
        rewards = np.zeros(self.num_envs, dtype=np.float32)
        dones = np.zeros(self.num_envs, dtype=np.bool_)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        observations = []
        for first, group in self._placed():
            places = range(first, first + group.size)
            group.step(self._actions[first : first + group.size])
            observed = group.observe()
            if group.finished:
                for index, reward, info in zip(places, *group.outcome(), strict=True):
                    rewards[index], infos[index], dones[index] = reward, info, True
                    info["terminal_observation"] = observed[index - first]
                self._begin(group)
                observed = group.observe()
            observations.append(observed)
        return np.concatenate(observations), rewards, dones, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions are allowed now, bool ``[episodes, 8]``."""
        return np.concatenate([group.masks() for group in self._groups])

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        if attr_name == "action_masks":
            return [self.action_masks for _ in self._get_indices(indices)]
        envs = [group.env for group in self._groups for _ in range(group.size)]
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
        """Return where all episodes are, and what is drawn next."""
        envs = [env for env, _ in self._tasks]
        return {
            "random": self._random.bit_generator.state,
            "deck": list(self._deck),
            "groups": [{"env": envs.index(group.env), **group.state_dict()} for group in self._groups],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was."""
        self._random.bit_generator.state = state["random"]
        self._deck = list(state["deck"])
        for group, own in zip(self._groups, state["groups"], strict=True):
            env, evaluator = self._tasks[own["env"]]
            group.begin(env, evaluator, own["preferences"])
            group.load_state_dict(own)

    def _placed(self) -> Iterator[tuple[int, "_Group"]]:
        """Yield the groups, each with the index of its first episode."""
        first = 0
        for group in self._groups:
            yield first, group
            first += group.size

    def _begin(self, group: "_Group") -> None:
        if not self._deck:
            self._deck = self._random.permutation(len(self._tasks)).tolist()
        env, evaluator = self._tasks[self._deck.pop()]
        group.begin(env, evaluator, spread_preferences(env, group.size, self._random))


class _Group:
    """Episodes of one environment in lockstep."""

    env: BitAllocationEnv

    def __init__(self, size: int) -> None:
        self.size = size

    def begin(self, env: BitAllocationEnv, evaluator: Evaluator, preferences: NDArray[np.float64]) -> None:
        self.env, self._evaluator, self._preferences = env, evaluator, preferences
        self._allocations = np.zeros((self.size, 0), dtype=np.int64)

    def state_dict(self) -> dict[str, Any]:
        return {"preferences": self._preferences, "allocations": self._allocations}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._allocations = state["allocations"]

    @property
    def finished(self) -> bool:
        return self._allocations.shape[1] == len(self.env.evaluator.components)

    def step(self, actions: NDArray[np.int64]) -> None:
        self._allocations = np.concatenate([self._allocations, bits_of(actions)[:, None]], axis=1)

    def observe(self) -> NDArray[np.float32]:
        return self.env.observe(self._allocations, self._preferences)

    def masks(self) -> NDArray[np.bool_]:
        return masks_of(self.env.masks(self._allocations), self.env.evaluator.bit_widths)

    def outcome(self) -> tuple[list[float], list[dict[str, Any]]]:
        """Return the rewards of finished episodes, and what Stable-Baselines3 is told of each."""
        evaluations = self._evaluator.evaluate(self._allocations.tolist())
        rewards, infos = [], []
        for evaluation, preference in zip(evaluations, self._preferences.tolist(), strict=True):
            rewards.append(float(self.env.reward(evaluation, self._evaluator.reference, preference)))
            infos.append({"evaluation": evaluation, "preference": preference, "TimeLimit.truncated": False})
        return rewards, infos
