"""Trace of one search: its evaluations in order."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixq_rl.agents.pareto import ParetoArchive
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.evaluation.store import EvaluationStore, EvaluatorDescription

__all__ = ["Trace", "traces"]


@dataclass(frozen=True)
class Trace:
    """Trace of one search.

    Attributes:
        search: name of the search: ``"ppo"``.
        seed: seed of the search.
        description: description of the evaluator.
        evaluations: distinct evaluations, in the order of the requests.
    """

    search: str
    seed: int
    description: EvaluatorDescription
    evaluations: tuple[Evaluation, ...]

    @cached_property
    def curve(self) -> tuple[float, ...]:
        """The hypervolume after each evaluation."""
        archive = ParetoArchive(self.description.reference_accuracy)
        volumes = []
        for evaluation in self.evaluations:
            archive.add([evaluation])
            volumes.append(archive.hypervolume)
        return tuple(volumes)

    def hypervolume(self, count: int) -> float:
        """Return the hypervolume of the first ``count`` evaluations, at least 1, or of all if there are fewer."""
        return self.curve[:count][-1]

    def best_reduction(self, count: int, drop: float) -> float:
        """Return the greatest reduction of the first evaluations whose accuracy keeps a drop; 1 if none keeps it.

        Args:
            count: number of evaluations.
            drop: greatest tolerated drop below float32, in [0, 1].
        """
        least = self.description.reference.merit - drop - 1e-9
        return max([1.0, *(e.reduction for e in self.evaluations[:count] if e.merit >= least)])

    def area(self, count: int) -> float:
        """Return the mean of the hypervolumes after 1, 2, ..., ``count`` evaluations."""
        volumes = self.curve[:count]
        return float(np.mean([*volumes, *[volumes[-1]] * (count - len(volumes))]))


def traces(store: EvaluationStore, fingerprint: str) -> list[Trace]:
    """Return the traces of all searches of one evaluator in a store."""
    problem = store.evaluators()[fingerprint]
    found = store.searches(fingerprint)
    return [Trace(name, seed, problem, tuple(evaluations)) for (name, seed), evaluations in found.items()]
