"""Candidate allocations: roll-outs of a policy, and small changes to the best known allocations."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixq_rl.agents.ppo.policy import AllocationPolicy, bits_of, policy_masks
from mixq_rl.envs import EpisodeRules, Episodes, Reward
from mixq_rl.randomness import seeded

__all__ = ["SWEEP", "mutate", "roll_out", "spread_preferences", "sweep"]

SWEEP = 16
"""Greatest number of allocations that :func:`sweep` returns by default."""

_MOST_CHANGES = 4.0
_LIKELY, _DRAWN, _DIFFERENT = 8, 256, 3
_DYADIC = np.concatenate([[0.5, 0.25, 0.75, 0.0, 1.0], *(np.arange(1, n, 2) / n for n in (8, 16, 32, 64, 128))])


def spread_preferences(reward: Reward, count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return preferences for episodes, ``[count]``: one from each of ``count`` equal parts of [0, 1], shuffled.

    If the reward has a fixed preference, all are that preference.
    """
    if reward.preference is not None:
        return np.full(count, reward.preference)
    return _spread(count, random)


def _spread(count: int, random: np.random.Generator) -> NDArray[np.float64]:
    return random.permutation((np.arange(count) + random.random(count)) / count)


def roll_out(
    policy: AllocationPolicy,
    rules: EpisodeRules,
    preferences: NDArray[np.float64],
    *,
    random: np.random.Generator | None = None,
    random_actions: float = 0.0,
) -> list[tuple[int, ...]]:
    """Return the allocations of a policy, one for each of ``preferences``; nothing is evaluated.

    Args:
        policy: policy of an agent.
        rules: rules of the episodes.
        preferences: weight of the saving in each episode, ``[episodes]``.
        random: if given, actions are drawn from the policy with torch's global generator, and this generator draws the
            uniform actions; None: the most likely actions.
        random_actions: mean number of actions of an episode that are drawn uniformly instead. The number differs
            between the episodes: evenly spaced from 0 to twice the mean, in random order.
    """
    episodes = Episodes(rules, preferences)
    rates = np.linspace(0, 2 * random_actions / rules.num_components, len(preferences))
    if random is not None:
        rates = random.permutation(rates)
    while not episodes.finished:
        masks = policy_masks(episodes)
        actions, _ = policy.predict(episodes.observe(), action_masks=masks, deterministic=random is None)
        if random is not None:
            uniform = np.where(masks, random.random(masks.shape), -1.0).argmax(axis=1)
            actions = np.where(random.random(len(rates)) < rates, uniform, actions)
        episodes.step(bits_of(actions))
    return [tuple(allocation) for allocation in episodes.allocations.tolist()]


def sweep(
    policy: AllocationPolicy, rules: EpisodeRules, count: int = SWEEP, *, preference: float | None = None
) -> list[tuple[int, ...]]:
    """Return at most ``count`` distinct allocations that together approximate the Pareto front. Nothing is evaluated.

    Up to 8 allocations are the most likely ones at preferences that cover [0, 1] ever more finely, beginning with 1/2.
    The others are drawn from the policy at random preferences. Allocations that differ from all earlier ones in at
    least three components come first, because a near copy of a bad allocation is bad, too. With a ``preference`` all
    allocations are for that one. The result depends only on the policy and the task.
    """
    random = np.random.default_rng(0)
    likely, drawn_at = _DYADIC, _spread(_DRAWN, random)
    if preference is not None:
        likely, drawn_at = np.array([preference]), np.full(_DRAWN, preference)
    chosen = list(dict.fromkeys(roll_out(policy, rules, likely)))[: min(count, _LIKELY)]
    with seeded(0):
        drawn = roll_out(policy, rules, drawn_at, random=random)
    for least in (_DIFFERENT, 1):
        for allocation in drawn:
            if len(chosen) < count and _distance(allocation, chosen) >= least:
                chosen.append(allocation)
    return chosen


def _distance(allocation: tuple[int, ...], others: Sequence[tuple[int, ...]]) -> int:
    """Return the number of components in which an allocation differs from the nearest of ``others``."""
    return int((np.asarray(others) != np.asarray(allocation)).sum(axis=1).min())


def mutate(
    parents: Sequence[tuple[int, ...]], count: int, rules: EpisodeRules, random: np.random.Generator
) -> list[tuple[int, ...]]:
    """Return up to ``count`` random changes to random ``parents``.

    The mean number of redrawn components is itself drawn for each allocation, uniformly from 0 to 4. A component that
    may not have the drawn bit-width gets the nearest that it may have. Allocations that do not keep the other limits
    are left out.
    """
    chosen = np.asarray(parents)[random.integers(len(parents), size=count)]
    rates = random.random((count, 1)) * min(_MOST_CHANGES / chosen.shape[1], 1.0)
    other = random.choice(rules.evaluator.bit_widths, size=chosen.shape)
    children = np.where(random.random(chosen.shape) < rates, other, chosen)
    children = rules.limits.nearest(children)
    return [tuple(child) for child in children[rules.limits.keeps(children)].tolist()]
