"""A budget of evaluations: so many distinct allocations, wherever their evaluations come from."""

from collections.abc import Callable, Sequence

from mixq_rl.errors import InputError
from mixq_rl.evaluation.protocol import CachedEvaluator, Evaluation, Evaluator, check_allocation

__all__ = ["BudgetSpent", "BudgetedEvaluator"]


class BudgetSpent(Exception):  # noqa: N818  the good end of a search
    """No more allocations may be evaluated."""


class BudgetedEvaluator(CachedEvaluator):
    """Answers for a limited number of distinct allocations.

    Args:
        evaluator: what evaluates; the same for several searches, it may well remember what others asked for.
        budget: distinct allocations, at least 1; None: without end.
        watcher: told of the new evaluations of each call.

    Raises:
        InputError: for a budget below 1.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        budget: int | None = None,
        *,
        watcher: Callable[[Sequence[Evaluation]], None] | None = None,
    ) -> None:
        if budget is not None and budget < 1:
            raise InputError(f"a budget of {budget} evaluations: at least 1 is needed")
        super().__init__(evaluator)
        self.budget = budget
        self._watcher = watcher

    @property
    def left(self) -> int:
        """How many more distinct allocations may be evaluated."""
        space = len(self.bit_widths) ** len(self.components)
        return min(space, space if self.budget is None else self.budget) - len(self.evaluations)

    def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[Evaluation]:
        """Return one evaluation for each allocation, as far as the budget goes.

        Raises:
            BudgetSpent: if it does not go far enough: those within it were evaluated; or if this was the last of it.
            BitWidthError: for bit-widths that are not on offer.
        """
        wanted = [check_allocation(self, allocation) for allocation in allocations]
        new = [allocation for allocation in dict.fromkeys(wanted) if allocation not in self.evaluations]
        if new:
            made = super().evaluate(new[: self.left])
            if self._watcher is not None:
                self._watcher(made)
            if self.budget is not None and not self.left:
                raise BudgetSpent
        self.hits += len(wanted) - len(new)
        return [self.evaluations[allocation] for allocation in wanted]
