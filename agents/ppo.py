"""Proximal policy optimisation on the environment of bit allocation."""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any, Self, TypeGuard

import gymnasium
import numpy as np
import torch
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.logger import Logger

from mixq_rl.agents.acquisition import choose
from mixq_rl.agents.pareto import pareto_front
from mixq_rl.agents.proposals import mutate, roll_out
from mixq_rl.agents.surrogate import Surrogate
from mixq_rl.agents.vectorized import VectorizedBitAllocation, spread_preferences
from mixq_rl.envs import FEATURES, BitAllocationEnv, LayerStatistics, Reward
from mixq_rl.envs.bit_allocation import check_preference
from mixq_rl.envs.cost import probes
from mixq_rl.errors import ArtifactError, BitWidthError, InputError
from mixq_rl.evaluation import Evaluation, Evaluator
from mixq_rl.quantization import check_bit_widths
from mixq_rl.randomness import RandomStream
from mixq_rl.serialization import load_artifact, save_artifact
from mixq_rl.version import __version__

__all__ = ["PPOAgent", "PPOSettings", "Watcher"]

Watcher = Callable[[Sequence[Evaluation]], None]
"""Called with the evaluations of each batch of episodes."""

Allocation = tuple[int, ...]

_VERSION = 2
_BEST_BY_REWARD = 16
_NEVER = 2**31


@dataclass(frozen=True)
class PPOSettings:
    """What :class:`PPOAgent` goes by; ``docs/search.md`` has what each part is worth.

    Attributes:
        batch: episodes evaluated together; once there are many, one sixteenth of those so far.
        candidates: imagined with the policy to choose a batch from.
        strays: actions of an episode that are drawn uniformly in place of the policy's, there, on the average.
        mutations: of the best known allocations, to choose a batch from beside the candidates.
        optimism: in the choice, in deviations of the surrogate.
        imagined: episodes of a rollout in imagination.
        rollouts: to learn from after each batch.
        learning_rate, epochs, minibatches, entropy: of PPO.
        widths: of the policy's hidden layers.

    Raises:
        InputError: for a value out of bounds.
    """

    batch: int = 4
    candidates: int = 1024
    strays: float = 2.0
    mutations: int = 1024
    optimism: float = 1.0
    imagined: int = 128
    rollouts: int = 4
    learning_rate: float = 2e-3
    epochs: int = 5
    minibatches: int = 4
    entropy: float = 0.02
    widths: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        least = {"batch": 1, "candidates": 1, "imagined": 2, "epochs": 1, "minibatches": 1}
        if not self.widths:
            raise InputError("widths of the policy are missing: name at least one hidden layer")
        for name, value in asdict(self).items():
            if name != "widths" and not value >= least.get(name, 0):
                raise InputError(f"setting {name} of PPO is {value}: at least {least.get(name, 0)} is needed")


class PPOAgent:
    """An agent that learns to allocate bit-widths, for all preferences at once, from few evaluations.

    Its policy is MaskablePPO's of sb3-contrib: no discount, advantages from complete returns. Evaluations are dear and
    episodes are cheap, so that it learns in imagination: what was evaluated trains a surrogate of the evaluator
    (:class:`~mixq_rl.agents.surrogate.Surrogate`), on which PPO rolls out and learns; of the episodes that the policy
    would play, and of small changes to the best known allocations, those are evaluated that promise most
    (:func:`~mixq_rl.agents.acquisition.choose`).

    Args:
        env: ``mixq_rl/BitAllocation-v0``.
        seed: of the policy's weights, its exploration, and the preferences drawn. Other users of the global random
            generators neither disturb the agent nor are disturbed.
        settings: what it goes by.
        reference_accuracy: of the hypervolume's reference point: of the majority class, where it is known.

    Attributes:
        bit_widths: what the actions stand for.

    Example:
        >>> agent = PPOAgent(env, seed=0)  # doctest: +SKIP
        >>> agent.learn(episodes=256).allocate(evaluator, preference=0.5)  # doctest: +SKIP
        (2, 4, 4, 2, 8, 4, 4, 2, 8)
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        *,
        seed: int = 0,
        settings: PPOSettings = PPOSettings(),
        reference_accuracy: float = 0.0,
    ) -> None:
        if not isinstance(env.unwrapped, BitAllocationEnv):
            raise InputError(f"PPOAgent learns on mixq_rl/BitAllocation-v0, not on {env.unwrapped!r}")
        self._env: BitAllocationEnv = env.unwrapped
        evaluator = self._env.evaluator
        self.bit_widths = evaluator.bit_widths
        self._features = list(FEATURES) if self._env.observation is LayerStatistics else None
        self._observation = self._env.observation
        self._reward: Reward | None = self._env.reward
        self._settings = settings
        self._reference_accuracy = reference_accuracy
        self._random = np.random.default_rng(seed)
        self._surrogate = Surrogate(evaluator, seed)
        self._global = RandomStream(seed)
        steps = len(evaluator.components) * settings.imagined
        imagination = VectorizedBitAllocation(self._env, settings.imagined, evaluator=self._surrogate, seed=seed)
        self._ppo: MaskablePPO | None
        with self._global.active():
            self._ppo = MaskablePPO(
                MaskableActorCriticPolicy,
                imagination,
                learning_rate=settings.learning_rate,
                n_steps=len(evaluator.components),
                batch_size=_minibatch(steps, settings.minibatches),
                n_epochs=settings.epochs,
                gamma=1.0,
                gae_lambda=1.0,
                ent_coef=settings.entropy,
                policy_kwargs={"net_arch": list(settings.widths)},
                seed=seed,
                device="cpu",
            )
        self._ppo.set_logger(Logger(folder=None, output_formats=[]))
        self._policy: MaskableActorCriticPolicy = self._ppo.policy

    def learn(self, episodes: int, *, watcher: Watcher | None = None, logger: Logger | None = None) -> Self:
        """Learn from so many more episodes, each of an allocation not evaluated before.

        It ends early when there are no more such allocations.

        Args:
            episodes: at least 1.
            watcher: told of each batch of evaluations.
            logger: of Stable-Baselines3, for what PPO logs; None: nothing is logged.

        Returns:
            the agent itself.

        Raises:
            InputError: for less than one episode, or an agent that was loaded and has no environment.
        """
        if episodes < 1:
            raise InputError(f"{episodes} episodes: at least 1 is needed")
        if self._ppo is None:
            raise InputError("this agent was loaded without an environment: it can allocate, but not learn")
        left = episodes
        with self._global.active():
            if logger is not None:
                self._ppo.set_logger(logger)
            while left:
                batch = self._next_batch(left)
                if not batch:
                    break
                evaluations = self._env.evaluator.evaluate(batch)
                left -= len(batch)
                self._study()
                if watcher is not None:
                    watcher(evaluations)
        return self

    def allocate(
        self, evaluator: Evaluator, preference: float = 0.5, *, reward: Reward | None = None
    ) -> tuple[int, ...]:
        """Return the allocation that the policy thinks best.

        Nothing is evaluated, unless a limit on bit operations needs to know what bits cost.

        Args:
            evaluator: gives the components.
            preference: weight of the saving in the trade-off, in [0, 1]; of no meaning to other rewards.
            reward: what is wanted; None: the reward it learned with, of an agent that was loaded the trade-off.

        Raises:
            BitWidthError: if the evaluator offers other bit-widths than the policy was trained with.
            InputError: for a preference outside [0, 1].
        """
        offered = tuple(evaluator.bit_widths)
        if offered != self.bit_widths:
            raise BitWidthError(f"the policy chooses among {self.bit_widths}, but {offered} are on offer")
        env = BitAllocationEnv(evaluator, reward=reward or self._reward, observation=self._observation)
        fixed = env.reward.preference
        asked = check_preference(preference) if fixed is None else fixed
        return roll_out(self._policy, env, np.array([asked]))[0]

    def save(self, path: str | PathLike[str]) -> None:
        """Write the policy into the folder ``path`` as ``policy.safetensors`` and ``policy.json``.

        Raises:
            InputError: if it learned with an observation of the user's own, which no other program could give it.
        """
        if self._features is None:
            raise InputError(
                "a policy that learned with an observation of your own can only be used where that is known"
            )
        widths = [layer.out_features for layer in self._policy.mlp_extractor.policy_net if hasattr(layer, "weight")]
        config = {
            "algorithm": "MaskablePPO",
            "widths": widths,
            "features": self._features,
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
            agent._policy = MaskableActorCriticPolicy(
                gymnasium.spaces.Box(LayerStatistics.low, LayerStatistics.high),
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
        agent._features, agent._observation, agent._reward = list(FEATURES), LayerStatistics, None
        agent._ppo = None
        return agent

    def _study(self) -> None:
        """Learn from all evaluations: the surrogate from them, the policy from episodes on the surrogate."""
        assert self._ppo is not None
        self._surrogate.fit(list(self._env.evaluator.evaluations.values()))
        steps = self._ppo.n_steps * self._settings.imagined * self._settings.rollouts
        if steps:
            self._ppo.learn(steps, reset_num_timesteps=False, log_interval=_NEVER)

    def _next_batch(self, most: int) -> list[Allocation]:
        """Return at most so many allocations to evaluate next; none if all have been."""
        known = self._env.evaluator.evaluations
        if self._env.reward.max_bitops is None:
            first = probes(len(self._env.evaluator.components), self.bit_widths)
            left = [allocation for allocation in first if allocation not in known]
            if left:
                return left[:most]
        if not self._surrogate.fitted:
            self._study()
        count = min(most, max(self._settings.batch, len(known) // 16))
        candidates = [*self._imagined(), *mutate(self._best(), self._settings.mutations, self._env, self._random)]
        candidates = [allocation for allocation in dict.fromkeys(candidates) if allocation not in known]
        if not candidates:
            return list(islice(self._untried(), count))
        return choose(
            candidates,
            count,
            self._surrogate,
            list(known.values()),
            self._env.reward,
            self._random,
            optimism=self._settings.optimism,
            reference_accuracy=self._reference_accuracy,
        )

    def _imagined(self) -> list[Allocation]:
        preferences = spread_preferences(self._env, self._settings.candidates, self._random)
        return roll_out(self._policy, self._env, preferences, random=self._random, strays=self._settings.strays)

    def _best(self) -> list[Allocation]:
        """Return the allocations known to be best: the front, or those of highest reward."""
        reward, evaluator = self._env.reward, self._env.evaluator
        limit = math.inf if reward.max_bitops is None else reward.max_bitops
        known = [evaluation for evaluation in evaluator.evaluations.values() if evaluation.bitops <= limit]
        if reward.preference is None:
            best = pareto_front(known, partial(reward.objective.saving, reference=evaluator.reference))
        else:
            worth = partial(reward, reference=evaluator.reference, preference=reward.preference)
            best = heapq.nlargest(_BEST_BY_REWARD, known, key=worth)
        return [evaluation.allocation for evaluation in best]

    def _untried(self, begun: Allocation = ()) -> Iterator[Allocation]:
        """Yield the allocations that go on as ``begun``, are allowed, and were not evaluated."""
        if len(begun) == len(self._env.evaluator.components):
            if begun not in self._env.evaluator.evaluations:
                yield begun
            return
        for bits, allowed in zip(self.bit_widths, self._env.masks([begun])[0], strict=True):
            if allowed:
                yield from self._untried((*begun, bits))


def _minibatch(steps: int, count: int) -> int:
    """Return the size of ``count`` minibatches or fewer, none of which has a single step: that has no deviation."""
    size = max(-(-steps // count), 2)
    return next(larger for larger in range(size, steps + 1) if steps % larger != 1)


def _is_list_of_int(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)
