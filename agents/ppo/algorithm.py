"""MaskablePPO of sb3-contrib, set up for model rollouts on surrogates."""

from collections.abc import Sequence
from typing import Any

import gymnasium
from sb3_contrib import MaskablePPO

from mixq_rl.agents.ppo.policy import AllocationPolicy
from mixq_rl.agents.ppo.settings import PPOSettings
from mixq_rl.agents.ppo.vectorized import VectorizedBitAllocation
from mixq_rl.envs import FEATURES, BitAllocationEnv, LayerStatistics
from mixq_rl.errors import InputError
from mixq_rl.evaluation.protocol import Evaluator

__all__ = ["environments", "for_each", "learn_from_rollouts", "make_ppo"]

_NEVER = 2**31


def environments(env: gymnasium.Env[Any, Any] | Sequence[gymnasium.Env[Any, Any]]) -> list[BitAllocationEnv]:
    """Return the environments without their wrappers.

    Raises:
        InputError: for no environment, an environment of another kind, or environments with different rewards.
    """
    found = []
    for one in [env] if isinstance(env, gymnasium.Env) else env:
        if not isinstance(one.unwrapped, BitAllocationEnv):
            raise InputError(f"PPOAgent learns on mixq_rl/BitAllocation-v0, not on {one.unwrapped!r}")
        found.append(one.unwrapped)
    if not found:
        raise InputError("PPOAgent learns on environments: at least one is needed")
    other = next((env.reward for env in found if env.reward != found[0].reward), None)
    if other is not None:
        raise InputError(f"one policy cannot learn for {found[0].reward} and for {other}: give all the same reward")
    return found


def for_each(envs: Sequence[BitAllocationEnv], reference_accuracy: float | Sequence[float]) -> list[float]:
    """Return one reference accuracy for each environment.

    Raises:
        InputError: for a number of them that is neither one nor that of the environments.
    """
    if isinstance(reference_accuracy, Sequence):
        if len(reference_accuracy) != len(envs):
            raise InputError(f"{len(reference_accuracy)} reference accuracies for {len(envs)} environments")
        return [float(accuracy) for accuracy in reference_accuracy]
    return [float(reference_accuracy)] * len(envs)


def make_ppo(
    envs: Sequence[BitAllocationEnv], surrogates: Sequence[Evaluator], settings: PPOSettings, seed: int
) -> MaskablePPO:
    """Return MaskablePPO, which learns from model rollouts: the surrogates evaluate the allocations.

    Args:
        envs: environments, one for each task.
        surrogates: surrogates, one for each environment.
        settings: settings of the agent.
        seed: seed of the weights and of the rollouts.
    """
    # A rollout is as long as the longest episode; a shorter episode can continue in the next rollout.
    steps = max(len(env.evaluator.components) for env in envs)
    episodes = max(settings.rollout_episodes, len(envs))
    return MaskablePPO(
        AllocationPolicy,
        VectorizedBitAllocation(envs, episodes, evaluators=surrogates, seed=seed),
        learning_rate=settings.learning_rate,
        n_steps=steps,
        batch_size=_minibatch(steps * episodes, settings.minibatches),
        n_epochs=settings.epochs,
        gamma=1.0,
        gae_lambda=1.0,
        ent_coef=settings.entropy,
        policy_kwargs={
            "net_arch": list(settings.widths),
            "features": FEATURES if envs[0].rules.observation is LayerStatistics else None,
        },
        seed=seed,
        device="cpu",
    )


def learn_from_rollouts(ppo: MaskablePPO, rollouts: int) -> None:
    """Let PPO learn from ``rollouts`` rollouts of episodes on the surrogates."""
    steps = ppo.n_steps * ppo.n_envs * rollouts
    if steps:
        ppo.learn(steps, reset_num_timesteps=False, log_interval=_NEVER)
        ppo.logger.record("train/policy_entropy", -ppo.logger.name_to_value["train/entropy_loss"])


def _minibatch(steps: int, count: int) -> int:
    """Return the size of ``count`` minibatches or fewer, none of a single step: it has no standard deviation."""
    size = max(-(-steps // count), 2)
    return next(larger for larger in range(size, steps + 1) if steps % larger != 1)
