"""One search, evaluation by evaluation."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixq_rl.agents.pareto import ParetoArchive
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.evaluation.store import EvaluationStore, EvaluatorDescription

__all__ = ["Trace", "traces"]


@dataclass(frozen=True)
class Trace:
    """One search, step by step.

    Attributes:
        search: its name: ``"ppo"``.
        seed: of the search.
        description: of the evaluator that was searched.
        evaluations: distinct, in the order they were asked for.
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
        """Return the hypervolume of the first ``count`` evaluations, at least 1; of all if there are no more."""
        return self.curve[:count][-1]

    def best_reduction(self, count: int, drop: float) -> float:
        """Return the greatest reduction at most ``drop`` below float32's accuracy, of the first ``count``; 1 if none.

        Args:
            count: of evaluations.
            drop: in [0, 1].
        """
        least = self.description.reference.accuracy - drop - 1e-9
        return max([1.0, *(e.reduction for e in self.evaluations[:count] if e.accuracy >= least)])

    def area(self, count: int) -> float:
        """Return the mean hypervolume after 1, 2, ..., ``count`` evaluations: the area under its curve, per step."""
        volumes = self.curve[:count]
        return float(np.mean([*volumes, *[volumes[-1]] * (count - len(volumes))]))


def traces(store: EvaluationStore, fingerprint: str) -> list[Trace]:
    """Return all searches that a store has of one evaluator."""
    problem = store.evaluators()[fingerprint]
    found = store.searches(fingerprint)
    return [Trace(name, seed, problem, tuple(evaluations)) for (name, seed), evaluations in found.items()]
