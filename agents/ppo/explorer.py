"""Exploration of one task: the choice of its next allocations, and its surrogate."""

import heapq
from collections.abc import Iterator
from functools import partial
from itertools import compress, islice
from typing import Any

import numpy as np

from mixq_rl.agents.pareto import pareto_front
from mixq_rl.agents.ppo.acquisition import choose
from mixq_rl.agents.ppo.policy import AllocationPolicy
from mixq_rl.agents.ppo.proposals import mutate, roll_out, spread_preferences, sweep
from mixq_rl.agents.ppo.settings import PPOSettings
from mixq_rl.agents.ppo.surrogate import Surrogate
from mixq_rl.envs import BitAllocationEnv
from mixq_rl.evaluation.protocol import Evaluation

__all__ = ["Explorer"]

Allocation = tuple[int, ...]

_BEST_BY_REWARD = 16


class Explorer:
    """Chooses the allocations to evaluate on one task.

    The proposals of a policy that learned on other tasks come first, then allocations in which the components differ
    (:meth:`~mixq_rl.envs.limits.Limits.probes`), then the most promising candidates.

    Args:
        env: environment of the task.
        settings: settings of the agent.
        reference_accuracy: accuracy of the hypervolume's reference point.
        seed: seed of the surrogate and of the candidates.

    Attributes:
        env: as given.
        surrogate: surrogate of the task's evaluator.
    """

    def __init__(self, env: BitAllocationEnv, settings: PPOSettings, reference_accuracy: float, seed: int) -> None:
        self.env = env
        self.surrogate = Surrogate(env.evaluator, seed)
        self._settings = settings
        self._reference_accuracy = reference_accuracy
        self._random = np.random.default_rng(seed)
        self._first: list[Allocation] | None = None

    def explore(self, policy: AllocationPolicy, most: int, start: AllocationPolicy | None = None) -> list[Evaluation]:
        """Evaluate the next batch, fit the surrogate, and return the evaluations: none if no allocation is left.

        Allocations that cannot be evaluated are left out, and not chosen again.

        Args:
            policy: proposes allocations.
            most: greatest number of evaluations.
            start: policy that learned on other tasks, whose proposals are evaluated first; None: there is none.
        """
        evaluations: list[Evaluation] = []
        while not evaluations and (batch := self._next_batch(policy, most, start)):
            evaluations = self.env.evaluator.attempt(batch)
        if evaluations or not self.surrogate.fitted:
            self.surrogate.fit(list(self.env.evaluator.evaluations.values()))
        return evaluations

    def promising(self) -> list[Allocation]:
        """Return the evaluated allocations and small changes to them, mostly to the best, that keep the limits."""
        known, count = list(self.env.evaluator.evaluations), self._settings.mutations
        changed = mutate(self._best(), count, self.env.rules, self._random)
        changed += mutate(known, count // 2, self.env.rules, self._random)
        found = list(dict.fromkeys([*known, *changed]))
        return list(compress(found, self.env.rules.limits.keeps(found)))

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the exploration, with the evaluated allocations but without their evaluations."""
        return {
            "known": list(self.env.evaluator.evaluations),
            "surrogate": self.surrogate.state_dict(),
            "random": self._random.bit_generator.state,
            "first": self._first,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned, and request its evaluations from the evaluator again."""
        first = state["first"]
        self._first = None if first is None else [tuple(allocation) for allocation in first]
        self._random.bit_generator.state = state["random"]
        if state["known"]:
            self.env.evaluator.evaluate(state["known"])
        self.surrogate.load_state_dict(state["surrogate"], list(self.env.evaluator.evaluations.values()))

    def _next_batch(self, policy: AllocationPolicy, most: int, start: AllocationPolicy | None) -> list[Allocation]:
        known = self.env.evaluator.evaluations
        tried = known.keys() | self.env.evaluator.failures.keys()
        first = self._beginning(start) if self._first is None else self._first
        self._first = first
        left = [allocation for allocation in first if allocation not in tried]
        if left or not known:
            return (left or list(islice(self._untried(), most)))[:most]
        if not self.surrogate.fitted:
            self.surrogate.fit(list(known.values()))
        count = min(most, max(self._settings.batch, len(known) // 16))
        candidates = self._proposed(policy)
        candidates += mutate(self._best(), self._settings.mutations, self.env.rules, self._random)
        candidates = [allocation for allocation in dict.fromkeys(candidates) if allocation not in tried]
        if not candidates:
            return list(islice(self._untried(), count))
        return choose(
            candidates,
            count,
            self.surrogate,
            list(known.values()),
            self.env.reward,
            self._random,
            optimism=self._settings.optimism,
            reference_accuracy=self._reference_accuracy,
        )

    def _beginning(self, start: AllocationPolicy | None) -> list[Allocation]:
        """Return the first allocations: proposals of a policy that learned on other tasks, and probes.

        With a limit on bit operations the environment has evaluated the probes already.
        """
        rules = self.env.rules
        proposed = [] if start is None else sweep(start, rules)
        return proposed if rules.measured else list(dict.fromkeys([*proposed, *rules.limits.probes()]))

    def _proposed(self, policy: AllocationPolicy) -> list[Allocation]:
        preferences = spread_preferences(self.env.reward, self._settings.candidates, self._random)
        return roll_out(
            policy, self.env.rules, preferences, random=self._random, random_actions=self._settings.random_actions
        )

    def _best(self) -> list[Allocation]:
        """Return the allocations known to be best: the front, or those of highest reward."""
        reward, evaluator = self.env.reward, self.env.evaluator
        every = list(evaluator.evaluations.values())
        known = list(compress(every, self.env.rules.limits.keeps([evaluation.allocation for evaluation in every])))
        if reward.preference is None:
            best = pareto_front(known, partial(reward.objective.saving, reference=evaluator.reference))
        else:
            worth = partial(reward, reference=evaluator.reference, preference=reward.preference)
            best = heapq.nlargest(_BEST_BY_REWARD, known, key=worth)
        return [evaluation.allocation for evaluation in best]

    def _untried(self, begun: Allocation = ()) -> Iterator[Allocation]:
        """Yield the allocations that begin with ``begun``, are allowed, and have not been requested."""
        if len(begun) == len(self.env.evaluator.components):
            if begun not in self.env.evaluator.evaluations and begun not in self.env.evaluator.failures:
                yield begun
            return
        for bits, allowed in zip(self.env.evaluator.bit_widths, self.env.rules.masks([begun])[0], strict=True):
            if allowed:
                yield from self._untried((*begun, bits))
