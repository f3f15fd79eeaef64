"""Allocations worth considering: what a policy would do, and what differs a little from the best known."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixq_rl.agents.ppo.policy import AllocationPolicy, bits_of, policy_masks
from mixq_rl.envs import EpisodeRules, Episodes, Reward
from mixq_rl.randomness import seeded

__all__ = ["SWEEP", "mutate", "roll_out", "spread_preferences", "sweep"]

SWEEP = 16
"""How many allocations :func:`sweep` returns at most."""

_MOST_CHANGES = 4.0
_LIKELY, _DRAWN, _DIFFERENT = 8, 256, 3
_DYADIC = np.concatenate([[0.5, 0.25, 0.75, 0.0, 1.0], *(np.arange(1, n, 2) / n for n in (8, 16, 32, 64, 128))])


def spread_preferences(reward: Reward, count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return preferences for ``count`` episodes, ``[count]``: one from each of equal parts of [0, 1], shuffled.

    If the reward has a fixed preference, all are that one.
    """
    if reward.preference is not None:
        return np.full(count, reward.preference)
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
        policy: of an agent.
        rules: of the episodes.
        preferences: ``[episodes]``.
        random: None: the policy's most likely actions; otherwise they are drawn from it (with torch's generator).
        random_actions: mean number of actions of an episode that are drawn uniformly instead; it rises from none in the
            first episode to twice the mean in the last.
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


def sweep(policy: AllocationPolicy, rules: EpisodeRules, count: int = SWEEP) -> list[tuple[int, ...]]:
    """Return at most so many distinct allocations that together should make a good front; the policy evaluates none.

    First come up to 8 that are most likely at preferences that cover [0, 1] ever more finely, 1/2 to begin with. Then
    come others that the policy draws at preferences above 1/2, where little accuracy buys or costs most: if possible
    such as differ from all before in three components or more, because near copies of a mistake are mistakes. The same
    policy and task give the same. Of a reward that knows but one preference all are for that.
    """
    random = np.random.default_rng(0)
    likely, drawn_at = _DYADIC, spread_preferences(rules.reward, _DRAWN, random)
    if rules.reward.preference is None:
        drawn_at = (1 + drawn_at) / 2
    else:
        likely = drawn_at[:1]
    chosen = list(dict.fromkeys(roll_out(policy, rules, likely)))[: min(count, _LIKELY)]
    with seeded(0):
        drawn = roll_out(policy, rules, drawn_at, random=random)
    for least in (_DIFFERENT, 1):
        for allocation in drawn:
            if len(chosen) < count and _distance(allocation, chosen) >= least:
                chosen.append(allocation)
    return chosen


def _distance(allocation: tuple[int, ...], others: Sequence[tuple[int, ...]]) -> int:
    """Return in how many components an allocation differs from the one of ``others`` that is most like it."""
    return int((np.asarray(others) != np.asarray(allocation)).sum(axis=1).min())


def mutate(
    parents: Sequence[tuple[int, ...]], count: int, rules: EpisodeRules, random: np.random.Generator
) -> list[tuple[int, ...]]:
    """Return allocations that differ in a few components, at random up to 4 on the average, from some of ``parents``.

    Those that would exceed a limit on bit operations are left out.
    """
    chosen = np.asarray(parents)[random.integers(len(parents), size=count)]
    rates = random.random((count, 1)) * min(_MOST_CHANGES / chosen.shape[1], 1.0)
    other = random.choice(rules.evaluator.bit_widths, size=chosen.shape)
    children = np.where(random.random(chosen.shape) < rates, other, chosen)
    if rules.reward.max_bitops is not None:
        children = children[rules.cost.spent(children) <= rules.reward.max_bitops]
    return [tuple(child) for child in children.tolist()]
