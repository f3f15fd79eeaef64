"""Proximal policy optimisation on the environment of bit allocation."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self, TypeGuard

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnv

from mixq_rl.envs import FEATURES, BitAllocationEnv, observe
from mixq_rl.envs.observation import LOW
from mixq_rl.errors import ArtifactError, BitWidthError, InputError
from mixq_rl.evaluation import Evaluator
from mixq_rl.quantization import check_bit_widths
from mixq_rl.randomness import RandomStream
from mixq_rl.serialization import load_artifact, save_artifact
from mixq_rl.version import __version__

__all__ = ["EPISODES_PER_UPDATE", "PPOAgent"]

_VERSION = 1
_WIDTHS = [64, 64]
EPISODES_PER_UPDATE = 16
_MOST_MINIBATCHES = 4


class PPOAgent:
    """An agent that learns to allocate bit-widths, for all preferences at once.

    PPO of Stable-Baselines3, with parameters that suit short episodes whose reward comes at their end: no discount,
    advantages from complete returns, an update after every 16 episodes. Two hidden layers of 64.

    Args:
        env: ``mixq_rl/BitAllocation-v0``, one or a vector of them.
        seed: of the policy's weights, its exploration, and the preferences drawn. Other users of the global random
            generators neither disturb the agent nor are disturbed.
        episodes_per_update: after how many episodes the policy is updated; episodes left over at the end of
            :meth:`learn` teach it nothing.

    Attributes:
        bit_widths: what the actions stand for.

    Example:
        >>> agent = PPOAgent(env, seed=0)  # doctest: +SKIP
        >>> agent.learn(episodes=2000).allocate(evaluator, preference=0.5)  # doctest: +SKIP
        (2, 4, 4, 2, 8, 4, 4, 2, 8)
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any] | VecEnv,
        *,
        seed: int = 0,
        episodes_per_update: int = EPISODES_PER_UPDATE,
    ) -> None:
        self._evaluator = _evaluator(env)
        self.bit_widths = self._evaluator.bit_widths
        horizon = len(self._evaluator.components)
        num_envs = env.num_envs if isinstance(env, VecEnv) else 1
        rollout = max(horizon * -(-episodes_per_update // num_envs), 2)
        self._random = RandomStream(seed)
        self._ppo: PPO | None
        with self._random.active():
            self._ppo = PPO(
                "MlpPolicy",
                env,
                learning_rate=2e-3,
                n_steps=rollout,
                batch_size=_minibatch(rollout * num_envs),
                n_epochs=10,
                gamma=1.0,
                gae_lambda=1.0,
                ent_coef=0.02,
                policy_kwargs={"net_arch": _WIDTHS},
                seed=seed,
                device="cpu",
            )
        self._policy: ActorCriticPolicy = self._ppo.policy

    def learn(self, episodes: int, *, callbacks: Sequence[BaseCallback] = (), logger: Logger | None = None) -> Self:
        """Learn from so many more episodes.

        Args:
            episodes: at least 1; with several environments rounded up to what they finish together.
            callbacks: of Stable-Baselines3.
            logger: of Stable-Baselines3; None: nothing is logged.

        Returns:
            the agent itself.

        Raises:
            InputError: for less than one episode, or an agent that was loaded and has no environment.
        """
        if episodes < 1:
            raise InputError(f"{episodes} episodes: at least 1 is needed")
        if self._ppo is None:
            raise InputError("this agent was loaded without an environment: it can allocate, but not learn")
        if logger is not None:
            self._ppo.set_logger(logger)
        horizon = len(self._evaluator.components)
        stop = _StopAfter(episodes)
        with self._random.active():
            self._ppo.learn(episodes * horizon, callback=[*callbacks, stop], reset_num_timesteps=False)
        return self

    def allocate(self, evaluator: Evaluator, preference: float = 0.5) -> tuple[int, ...]:
        """Return the allocation that the policy thinks best, without evaluating anything.

        Args:
            evaluator: gives the components.
            preference: weight of the saving in the reward it was trained with, in [0, 1].

        Raises:
            BitWidthError: if the evaluator offers other bit-widths than the policy was trained with.
            InputError: for a preference outside [0, 1].
        """
        offered = tuple(evaluator.bit_widths)
        if offered != self.bit_widths:
            raise BitWidthError(f"the policy chooses among {self.bit_widths}, but {offered} are on offer")
        if not 0.0 <= preference <= 1.0:
            raise InputError(f"preference {preference} is outside [0, 1]")
        allocation: list[int] = []
        for _ in evaluator.components:
            action, _ = self._policy.predict(observe(evaluator, allocation, preference), deterministic=True)
            allocation.append(self.bit_widths[int(action)])
        return tuple(allocation)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the policy into the folder ``path`` as ``policy.safetensors`` and ``policy.json``."""
        config = {
            "algorithm": "PPO",
            "widths": _WIDTHS,
            "features": list(FEATURES),
            "bit_widths": list(self.bit_widths),
            "mixq_rl": __version__,
        }
        tensors = {name: tensor.contiguous() for name, tensor in self._policy.state_dict().items()}
        save_artifact(Path(path), "policy", _VERSION, config, tensors)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read what :meth:`save` wrote: an agent that can allocate.

        Raises:
            ArtifactError: if it is missing, damaged, of another kind or format version, or sees other features.
        """
        config, tensors = load_artifact(Path(path), "policy", _VERSION)
        if config.get("features") != list(FEATURES):
            raise ArtifactError(
                f"the policy in {path} was trained on other observations than this version of mixq_rl gives"
            )
        bit_widths, widths = config.get("bit_widths"), config.get("widths")
        if not _is_list_of_int(bit_widths) or not _is_list_of_int(widths) or not all(0 < w <= 4096 for w in widths):
            raise ArtifactError(f"the policy in {path} names no valid bit_widths and widths")
        agent = cls.__new__(cls)
        try:
            agent.bit_widths = check_bit_widths(tuple(bit_widths))
            agent._policy = ActorCriticPolicy(
                gymnasium.spaces.Box(LOW, np.ones(len(FEATURES), dtype=np.float32)),
                gymnasium.spaces.Discrete(len(agent.bit_widths)),
                lr_schedule=lambda _: 0.0,
                net_arch=widths,
            )
            agent._policy.load_state_dict(tensors)
        except (RuntimeError, BitWidthError) as error:
            raise ArtifactError(f"the policy in {path} does not fit its description: {error}") from error
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise ArtifactError(f"the policy in {path} holds numbers that are not finite")
        agent._policy.set_training_mode(False)
        agent._ppo = None
        return agent


class _StopAfter(BaseCallback):
    def __init__(self, episodes: int) -> None:
        super().__init__()
        self._left = episodes

    def _on_step(self) -> bool:
        self._left -= int(np.sum(self.locals["dones"]))
        # A rollout that is complete is still to be learned from: then the count of time steps ends the run.
        complete = self.locals["n_steps"] + 1 == self.locals["n_rollout_steps"]
        return self._left > 0 or complete


def _evaluator(env: gymnasium.Env[Any, Any] | VecEnv) -> Evaluator:
    inner = env.get_attr("unwrapped", 0)[0] if isinstance(env, VecEnv) else env.unwrapped
    if not isinstance(inner, BitAllocationEnv):
        raise InputError(f"PPOAgent learns on mixq_rl/BitAllocation-v0, not on {inner!r}")
    return inner.evaluator


def _minibatch(steps: int) -> int:
    """Return the size of equal minibatches, as many as there may be, of at least two steps each."""
    return next(
        steps // count for count in range(_MOST_MINIBATCHES, 0, -1) if steps % count == 0 and steps >= 2 * count
    )


def _is_list_of_int(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)
