"""What a policy learned on, and what it reached there."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from mixq_rl.agents.pareto import hypervolume
from mixq_rl.agents.records.trace import Trace
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.evaluation.store import EvaluatorDescription

__all__ = ["LearnedTask", "PolicyRecord"]

_DROP = 0.01


@dataclass(frozen=True)
class LearnedTask:
    """What was reached on one of the tasks that a policy learned on.

    Attributes:
        task: its title.
        bit_widths: on offer.
        evaluations: distinct allocations that the search evaluated.
        hypervolume: of their front.
        reduction: the greatest among them at most one point below float32.
        swept: hypervolume of the 16 allocations that the finished policy names without a search; None: not measured.
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
        """Judge what a search found on a task, and what the policy names without one."""
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
    """What a policy learned on, for who finds its file.

    Attributes:
        tasks: entries as of :class:`LearnedTask`.
    """

    tasks: tuple[dict[str, Any], ...] = ()

    def with_tasks(self, learned: Sequence[LearnedTask]) -> Self:
        """Return the record with more tasks."""
        return replace(self, tasks=(*self.tasks, *(asdict(task) for task in learned)))
