"""Acquisition function: the choice of the allocations to evaluate next, by predicted hypervolume gain or reward."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mixq_rl.agents.pareto import pareto_front
from mixq_rl.agents.ppo.surrogate import Surrogate
from mixq_rl.envs import Reward
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["choose", "hypervolume_gain"]

Allocation = tuple[int, ...]

_PREFERENCES = (0.1, 0.3, 0.5, 0.7, 0.9)


def choose(
    candidates: Sequence[Allocation],
    count: int,
    surrogate: Surrogate,
    known: Sequence[Evaluation],
    reward: Reward,
    random: np.random.Generator,
    *,
    optimism: float,
    reference_accuracy: float,
) -> list[Allocation]:
    """Return ``count`` of the candidates, chosen one after another by an upper confidence bound of the accuracy.

    The bound of a choice is the surrogate's mean plus ``optimism`` · ``|z|`` standard deviations. ``z`` is a standard
    normal random number, drawn once for each choice. If the reward has no fixed preference, the choice is the candidate
    that adds most to the hypervolume. The hypervolume counts the known evaluations and the earlier choices, these with
    their predicted means. If the reward has a fixed preference, the choice is the candidate of highest reward.

    Args:
        candidates: distinct allocations, none of them evaluated.
        count: number of choices, at least 1; all candidates are returned if there are not more.
        surrogate: a fitted surrogate.
        known: evaluations so far.
        reward: the formula of the reward.
        random: draws the number ``z`` of each choice.
        optimism: number of standard deviations at ``|z|`` = 1.
        reference_accuracy: accuracy of the hypervolume's reference point.
    """
    if len(candidates) <= count:
        return list(candidates)
    mean, deviation = surrogate.predict(candidates)
    found, expected = list(known), surrogate.predicted(candidates, mean)
    left = np.ones(len(candidates), dtype=np.bool_)
    chosen: list[Allocation] = []
    while len(chosen) < count:
        hoped = mean + optimism * abs(random.standard_normal()) * deviation
        open_ = np.flatnonzero(left).tolist()
        promised = surrogate.predicted([candidates[index] for index in open_], hoped[open_])
        worth = _worth(promised, found, reward, surrogate.reference, reference_accuracy)
        best = int(open_[worth.argmax()])
        chosen.append(candidates[best])
        found.append(expected[best])
        left[best] = False
    return chosen


def _worth(
    hoped: Sequence[Evaluation],
    found: Sequence[Evaluation],
    reward: Reward,
    reference: Evaluation,
    reference_accuracy: float,
) -> NDArray[np.float64]:
    if reward.preference is not None:
        return np.array([reward(evaluation, reference, reward.preference) for evaluation in hoped])
    saving = partial(reward.objective.saving, reference=reference)
    front = pareto_front(found, saving)
    gain = hypervolume_gain(
        np.log2([saving(point) for point in front]),
        np.array([point.merit for point in front]) - reference_accuracy,
        np.log2([saving(point) for point in hoped]),
        np.array([point.merit for point in hoped]) - reference_accuracy,
    )
    # If no candidate enlarges the front, the candidate nearest to the front is the best guess.
    if gain.max() > 0:
        return gain
    best = [max(reward(e, reference, w) for e in found) for w in _PREFERENCES]
    return np.array(
        [max(reward(e, reference, w) - known for w, known in zip(_PREFERENCES, best, strict=True)) for e in hoped]
    )


def hypervolume_gain(
    front_saving: NDArray[np.float64],
    front_accuracy: NDArray[np.float64],
    saving: NDArray[np.float64],
    accuracy: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return by how much each point would enlarge the area that a front dominates, ``[points]``.

    Args:
        front_saving: log2 savings of the front, ascending.
        front_accuracy: accuracies of the front above the reference point, descending, of the same length.
        saving: log2 savings of the points, ``[points]``.
        accuracy: accuracies of the points above the reference point, ``[points]``.
    """
    edges = np.concatenate([[0.0], front_saving.clip(min=0.0)])
    heights = np.concatenate([front_accuracy.clip(min=0.0), [0.0]])
    gain = np.zeros(len(saving))
    for left, right, height in zip(edges, [*edges[1:], np.inf], heights, strict=True):
        gain += (np.minimum(saving, right) - left).clip(min=0.0) * (accuracy - height).clip(min=0.0)
    return gain
