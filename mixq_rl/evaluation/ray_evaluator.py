"""Evaluator whose allocations are evaluated and fine-tuned by Ray workers."""

from collections.abc import Iterator, Sequence
from typing import Any

from mixq_rl.errors import EvaluationError
from mixq_rl.evaluation.protocol import Evaluation, Evaluator, Failure, Forbidden, Restricted, Seeded, Sized
from mixq_rl.evaluation.ray_workers import RayWorkers
from mixq_rl.evaluation.store import fingerprint
from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn import Component

__all__ = ["RayEvaluator"]


class RayEvaluator:
    """Evaluator that has another evaluator's allocations evaluated by workers, several at a time.

    Evaluations are those of the other evaluator, apart from their ``seconds``, and come in the order in which they were
    requested. It has the fingerprint, seed, sizes and forbidden combinations of the other evaluator, too. Changes made
    to that after the first evaluation do not reach the workers.

    Args:
        evaluator: evaluator that can be pickled. Its class is known to the workers.
        workers: workers, which may serve several evaluators.

    Attributes:
        evaluator: as given.

    Example:
        >>> with RayWorkers(4) as workers:  # doctest: +SKIP
        ...     ledger = mixq_rl.Ledger(RayEvaluator(evaluator, workers))
        ...     evaluations = ledger.evaluate(allocations)
    """

    def __init__(self, evaluator: Evaluator, workers: RayWorkers) -> None:
        self.evaluator = evaluator
        self._workers = workers
        self._place: Any = None

    @property
    def components(self) -> tuple[Component, ...]:
        return self.evaluator.components

    @property
    def bit_widths(self) -> tuple[int, ...]:
        return self.evaluator.bit_widths

    @property
    def reference(self) -> Evaluation:
        return self.evaluator.reference

    @property
    def fingerprint(self) -> str:
        """Identity of the evaluator behind this one: evaluations of both are the same."""
        return fingerprint(self.evaluator)

    @property
    def seed(self) -> int | None:
        """Seed of the evaluator behind this one; None: it has none."""
        return self.evaluator.seed if isinstance(self.evaluator, Seeded) else None

    @property
    def forbidden(self) -> tuple[Forbidden, ...]:
        """Combinations of bit-widths that the evaluator behind this one cannot execute; none if it does not say."""
        return self.evaluator.forbidden if isinstance(self.evaluator, Restricted) else ()

    def sizes(self, allocations: Sequence[Sequence[int]]) -> list[int]:
        """Return the bytes of the network at each allocation, evaluated if the evaluator behind does not know them."""
        if isinstance(self.evaluator, Sized):
            return self.evaluator.sizes(allocations)
        return [evaluation.size for evaluation in self.evaluate(allocations)]

    def evaluate(self, allocations: Sequence[Sequence[int]]) -> list[Evaluation]:
        """Return one evaluation for each allocation, in their order.

        Raises:
            EvaluationError: if an allocation cannot be evaluated, or no worker is left.
        """
        return list(self.stream(allocations))

    def stream(self, allocations: Sequence[Sequence[int]]) -> Iterator[Evaluation]:
        """Yield one evaluation for each allocation, in their order.

        Raises:
            EvaluationError: as in :meth:`evaluate`.
        """
        for result in self.attempt(allocations):
            if isinstance(result, Failure):
                raise EvaluationError(str(result))
            yield result

    def attempt(self, allocations: Sequence[Sequence[int]]) -> Iterator[Evaluation | Failure]:
        """Yield the evaluation of each allocation, or why it failed three times, in the order of the allocations.

        Raises:
            EvaluationError: if no worker is left.
        """
        made: dict[int, Evaluation | Failure] = {}
        following = 0
        for index, result in self._workers.evaluate(self._placed(), allocations):
            made[index] = result
            while following in made:
                yield made.pop(following)
                following += 1

    def fine_tune(self, allocations: Sequence[Sequence[int]], *, seed: int) -> Iterator[tuple[int, IntegerModel]]:
        """Yield the index of each allocation with its fine-tuned integer model, as soon as it is finished.

        The evaluator behind this one executes a network on integers. The models are those of its
        :meth:`~mixq_rl.evaluation.integer_evaluator.IntegerEvaluator.fine_tune`.

        Args:
            allocations: allocations to fine-tune for.
            seed: seed of each fine-tuning.

        Raises:
            EvaluationError: if the fine-tuning for an allocation fails three times, or no worker is left.
        """
        for index, model in self._workers.fine_tune(self._placed(), allocations, seed=seed):
            if isinstance(model, Failure):
                bits = ",".join(map(str, model.allocation))
                raise EvaluationError(f"the network of allocation {bits} cannot be fine-tuned: {model.reason}")
            yield index, model

    def _placed(self) -> Any:
        if self._place is None:
            self._place = self._workers.place(self.evaluator)
        return self._place
