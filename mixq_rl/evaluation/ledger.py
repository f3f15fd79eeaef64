"""Ledger of evaluations: memory, store on disk, budget and watchers in front of an evaluator."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from mixq_rl.errors import EvaluationError, InputError
from mixq_rl.evaluation.protocol import (
    Evaluation,
    Evaluator,
    Failure,
    Fallible,
    Forbidden,
    Restricted,
    Seeded,
    Sized,
    Streaming,
    check_allocation,
)
from mixq_rl.evaluation.store import EvaluationStore, fingerprint
from mixq_rl.nn import Component

__all__ = ["BudgetSpent", "Ledger"]

OnEvaluation = Callable[[Evaluation], object]
OnRequest = Callable[[Sequence[Evaluation]], object]

_MOST_FAILURES = 32
_logger = logging.getLogger("mixq_rl")


class BudgetSpent(Exception):  # noqa: N818  the regular end of a search
    """No more allocations may be evaluated."""


class Ledger:
    """Evaluator that evaluates each allocation once, and keeps account of what was requested.

    An allocation that was requested before is answered from memory. A new allocation is answered from the store, and
    evaluated if the store does not have it. A :class:`~mixq_rl.evaluation.protocol.Streaming` evaluator has each
    evaluation stored as soon as it is made, so that a killed process loses none. The evaluations of any other evaluator
    are stored when the whole batch is complete.

    A :class:`~mixq_rl.evaluation.protocol.Fallible` evaluator, such as workers on a cluster, may fail to evaluate an
    allocation. The ledger says so in one line of the log, and does not have that allocation evaluated again. It is not
    stored and takes nothing from the budget. :meth:`attempt` goes on without it.

    Args:
        evaluator: evaluates what is neither in memory nor in the store.
        store: keeps evaluations on disk, for this ledger and for others. None: memory only.
        budget: number of distinct allocations that may be requested, at least 1. None: no limit. Allocations that the
            store has count like any other.
        search: name and seed under which the store lists the requests. None: requests are not listed.

    Attributes:
        evaluator: as given.
        store: as given.
        budget: as given.
        hits: number of requests for allocations that had been requested before.
        made: number of evaluations that the evaluator made for this ledger.

    Raises:
        InputError: for a budget below 1.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        *,
        store: EvaluationStore | None = None,
        budget: int | None = None,
        search: tuple[str, int] | None = None,
    ) -> None:
        if budget is not None and budget < 1:
            raise InputError(f"a budget of {budget} evaluations: at least 1 is needed")
        self.evaluator = evaluator
        self.store = store
        self.budget = budget
        self.hits = 0
        self.made = 0
        self._search = search
        self._evaluations: dict[tuple[int, ...], Evaluation] = {}
        self._failures: dict[tuple[int, ...], Failure] = {}
        self._failed_in_a_row = 0
        self._known = {} if store is None else store.evaluations(self.fingerprint)
        self._on_request: list[OnRequest] = []
        self._on_evaluation: list[OnEvaluation] = []

    @classmethod
    def of(cls, evaluator: Evaluator) -> "Ledger":
        """Return ``evaluator`` if it is a ledger, otherwise a new ledger of it."""
        return evaluator if isinstance(evaluator, Ledger) else cls(evaluator)

    @property
    def components(self) -> tuple[Component, ...]:
        return self.evaluator.components

    @property
    def bit_widths(self) -> tuple[int, ...]:
        return tuple(self.evaluator.bit_widths)

    @property
    def reference(self) -> Evaluation:
        return self.evaluator.reference

    @property
    def forbidden(self) -> tuple[Forbidden, ...]:
        """Combinations of bit-widths that the evaluator cannot execute; none if it does not say."""
        return self.evaluator.forbidden if isinstance(self.evaluator, Restricted) else ()

    def sizes(self, allocations: Sequence[Sequence[int]]) -> list[int]:
        """Return the size of the network at each allocation, in bytes; 0: not known.

        A :class:`~mixq_rl.evaluation.protocol.Sized` evaluator is asked. For any other the allocations are evaluated,
        as in :meth:`evaluate`.
        """
        if isinstance(self.evaluator, Sized):
            return self.evaluator.sizes(allocations)
        return [evaluation.size for evaluation in self.evaluate(allocations)]

    @cached_property
    def fingerprint(self) -> str:
        """The evaluator's identity, as :func:`~mixq_rl.evaluation.store.fingerprint` returns it."""
        return fingerprint(self.evaluator)

    @property
    def evaluations(self) -> Mapping[tuple[int, ...], Evaluation]:
        """Evaluations of all requested allocations, by allocation, in the order of the first request."""
        return self._evaluations

    @property
    def failures(self) -> Mapping[tuple[int, ...], Failure]:
        """The requested allocations that could not be evaluated, in the order of the first request."""
        return self._failures

    @property
    def left(self) -> int:
        """Number of distinct allocations that may still be requested."""
        space = len(self.bit_widths) ** len(self.components) - len(self._failures)
        return min(space, space if self.budget is None else self.budget) - len(self._evaluations)

    def watch(self, *, on_request: OnRequest | None = None, on_evaluation: OnEvaluation | None = None) -> None:
        """Add a watcher.

        Args:
            on_request: called at the end of each request with the evaluations of its new allocations, if any.
            on_evaluation: called with each evaluation that is made, as soon as it is stored. An exception that it
                raises ends the request, and no evaluation that was made is lost to the store.
        """
        if on_request is not None:
            self._on_request.append(on_request)
        if on_evaluation is not None:
            self._on_evaluation.append(on_evaluation)

    def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[Evaluation]:
        """Return one evaluation for each allocation.

        Raises:
            BudgetSpent: if the new allocations use up the budget. Those within the budget are evaluated before.
            BitWidthError: for bit-widths that are not on offer.
            EvaluationError: if an allocation cannot be evaluated, after the evaluation of the others.
        """
        made = self.attempt(allocations)
        if len(made) < len(allocations):
            failed = (self._failures.get(check_allocation(self, allocation)) for allocation in allocations)
            raise EvaluationError(str(next(filter(None, failed))))
        return made

    def attempt(self, allocations: Sequence[Sequence[int]]) -> list[Evaluation]:
        """Return the evaluations as :meth:`evaluate` does, without those of allocations that cannot be evaluated.

        Raises:
            BudgetSpent: as in :meth:`evaluate`.
            BitWidthError: as in :meth:`evaluate`.
            EvaluationError: if the evaluator cannot go on, or 32 allocations in a row cannot be evaluated.
        """
        requested = [check_allocation(self, allocation) for allocation in allocations]
        known = self._evaluations.keys() | self._failures.keys()
        new = [allocation for allocation in dict.fromkeys(requested) if allocation not in known]
        waiting = new
        while waiting and (self.budget is None or self.left):  # failures leave some of the budget
            count = len(waiting) if self.budget is None else self.left
            self._request(waiting[:count])
            waiting = waiting[count:]
        if new and self.budget is not None and not self.left:
            raise BudgetSpent
        self.hits += len(requested) - len(new)
        return [self._evaluations[allocation] for allocation in requested if allocation in self._evaluations]

    def _request(self, new: list[tuple[int, ...]]) -> None:
        self._make([allocation for allocation in new if allocation not in self._known])
        made = {allocation: self._known[allocation] for allocation in new if allocation not in self._failures}
        self._evaluations.update(made)
        if self.store is not None and self._search is not None:
            self.store.request(self.fingerprint, *self._search, list(made))
        for watcher in self._on_request if made else ():
            watcher(list(made.values()))

    def _make(self, allocations: list[tuple[int, ...]]) -> None:
        if isinstance(self.evaluator, Fallible):
            for allocation, result in zip(allocations, self.evaluator.attempt(allocations), strict=True):
                if isinstance(result, Failure):
                    self._give_up(allocation, result)
                else:
                    self._failed_in_a_row = 0
                    self._keep([allocation], [result])
        elif isinstance(self.evaluator, Streaming):
            for allocation, evaluation in zip(allocations, self.evaluator.stream(allocations), strict=True):
                self._keep([allocation], [evaluation])
        elif allocations:
            self._keep(allocations, self.evaluator.evaluate(allocations))

    def _give_up(self, allocation: tuple[int, ...], failure: Failure) -> None:
        self._failures[allocation] = failure
        self._failed_in_a_row += 1
        if self._failed_in_a_row == _MOST_FAILURES:
            raise EvaluationError(f"{_MOST_FAILURES} allocations in a row failed; {failure}")
        _logger.warning("%s; the search goes on without it", failure)

    def _keep(self, allocations: list[tuple[int, ...]], evaluations: list[Evaluation]) -> None:
        if self.store is not None:
            seed = self.evaluator.seed if isinstance(self.evaluator, Seeded) else None
            self.store.add(self.fingerprint, evaluations, seed)
        self._known.update(zip(allocations, evaluations, strict=True))
        self.made += len(evaluations)
        for evaluation in evaluations:
            for watcher in self._on_evaluation:
                watcher(evaluation)
