"""Allocations worth considering: what a policy would do, and what differs a little from the best known."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy

from mixq_rl.envs import BitAllocationEnv

__all__ = ["mutate", "roll_out"]

_MOST_CHANGES = 4.0


def roll_out(
    policy: MaskableActorCriticPolicy,
    env: BitAllocationEnv,
    preferences: NDArray[np.float64],
    *,
    random: np.random.Generator | None = None,
    strays: float = 0.0,
) -> list[tuple[int, ...]]:
    """Return the allocations of a policy, one for each of ``preferences``; nothing is evaluated.

    Args:
        policy: of an agent.
        env: says what is observed and allowed.
        preferences: ``[episodes]``.
        random: None: the policy's most likely actions; otherwise they are drawn from it (with torch's generator).
        strays: at random so many actions of an episode, on the average, are drawn uniformly instead: none in the first
            episode, twice as many in the last.
    """
    widths = np.asarray(env.evaluator.bit_widths)
    components = len(env.evaluator.components)
    allocations = np.zeros((len(preferences), 0), dtype=np.int64)
    rates = np.linspace(0, 2 * strays / components, len(preferences))
    if random is not None:
        rates = random.permutation(rates)
    for _ in range(components):
        masks = env.masks(allocations)
        observation = env.observe(allocations, preferences)
        actions, _ = policy.predict(observation, action_masks=masks, deterministic=random is None)
        if random is not None:
            uniform = np.where(masks, random.random(masks.shape), -1.0).argmax(axis=1)
            actions = np.where(random.random(len(rates)) < rates, uniform, actions)
        allocations = np.concatenate([allocations, widths[actions][:, None]], axis=1)
    return [tuple(allocation) for allocation in allocations.tolist()]


def mutate(
    parents: Sequence[tuple[int, ...]], count: int, env: BitAllocationEnv, random: np.random.Generator
) -> list[tuple[int, ...]]:
    """Return allocations that differ in a few components, at random up to 4 on the average, from some of ``parents``.

    Those that would exceed a limit on bit operations are left out.
    """
    chosen = np.asarray(parents)[random.integers(len(parents), size=count)]
    rates = random.random((count, 1)) * min(_MOST_CHANGES / chosen.shape[1], 1.0)
    other = random.choice(env.evaluator.bit_widths, size=chosen.shape)
    children = np.where(random.random(chosen.shape) < rates, other, chosen)
    if env.reward.max_bitops is not None:
        children = children[env.cost.spent(children) <= env.reward.max_bitops]
    return [tuple(child) for child in children.tolist()]
