"""Record of the tasks that a policy learned on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from mixq_rl.agents.pareto import hypervolume
from mixq_rl.agents.records.trace import Trace
from mixq_rl.errors import ArtifactError
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.evaluation.store import EvaluatorDescription
from mixq_rl.storage.reading import read_json
from mixq_rl.storage.schema import from_plain

__all__ = ["LearnedTask", "PolicyRecord", "load_tasks"]

_DROP = 0.01


@dataclass(frozen=True)
class LearnedTask:
    """One task that a policy learned on, and the results on it.

    Attributes:
        task: title of the task.
        bit_widths: bit-widths on offer.
        evaluations: number of distinct allocations that the search evaluated.
        hypervolume: hypervolume of these allocations.
        reduction: their greatest reduction at an accuracy at most one point below float32.
        swept: hypervolume of the 16 allocations that the trained policy proposes without a search; None: not measured.
    """

    task: str
    bit_widths: tuple[int, ...]
    evaluations: int
    hypervolume: float
    reduction: float
    swept: float | None = None

    @classmethod
    def of(
        cls,
        description: EvaluatorDescription,
        searched: Sequence[Evaluation],
        swept: Sequence[Evaluation] | None = None,
    ) -> Self:
        """Return the record of a task.

        Args:
            description: description of the task's evaluator.
            searched: evaluations of the search.
            swept: evaluations of the allocations that the policy proposes without a search.
        """
        trace, majority = Trace("", 0, description, tuple(searched)), description.reference_accuracy
        return cls(
            task=description.name,
            bit_widths=description.bit_widths,
            evaluations=len(searched),
            hypervolume=hypervolume(searched, majority),
            reduction=trace.best_reduction(len(searched), _DROP),
            swept=None if swept is None else hypervolume(swept, majority),
        )


@dataclass(frozen=True)
class PolicyRecord:
    """Record of the tasks that a policy learned on, stored in its file.

    Attributes:
        tasks: one dictionary for each task, with the fields of :class:`LearnedTask`.
    """

    tasks: tuple[dict[str, Any], ...] = ()

    def with_tasks(self, learned: Sequence[LearnedTask]) -> Self:
        """Return the record with more tasks."""
        return replace(self, tasks=(*self.tasks, *(asdict(task) for task in learned)))


def load_tasks(path: Path) -> list[LearnedTask]:
    """Return the tasks in the result of a run that trained a policy.

    Raises:
        ArtifactError: if the file is missing or damaged.
    """
    try:
        return from_plain(read_json(path), list[LearnedTask])
    except (ArtifactError, OSError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged: {error}") from error
