"""Ray actors that evaluate and fine-tune allocations, on this machine or on a cluster."""

import importlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Self, TypeVar

import torch

from mixq_rl.errors import EvaluationError, InputError
from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.evaluation.protocol import Evaluation, Evaluator, Failure
from mixq_rl.evaluation.ray_connection import ATTEMPTS, VERSIONS, RayConnection, listed, said
from mixq_rl.integer.model import IntegerModel
from mixq_rl.printable import first_line

__all__ = ["RayWorkers"]

T = TypeVar("T")


class RayWorkers:
    """Workers that evaluate and fine-tune allocations for any number of evaluators, each an actor of Ray, in a process.

    A worker that dies is started again by Ray, if need be on another node. Until then the others go on without it.
    Workers use as many threads for torch as this process, because results of float32 training depend on that number.

    Close the workers when they are no longer needed, or use them as a context manager. Ray is shut down then, unless
    it ran in this process before.

    Args:
        count, address, cpus, gpus: as in :class:`~mixq_rl.evaluation.ray_connection.RayConnection`.

    Attributes:
        count: number of workers.

    Raises:
        InputError: as in :class:`~mixq_rl.evaluation.ray_connection.RayConnection`.
    """

    def __init__(
        self, count: int | None = None, *, address: str | None = None, cpus: float = 1.0, gpus: bool = False
    ) -> None:
        self._connection = RayConnection(count, address=address, cpus=cpus, gpus=gpus)
        self.count, self._ray = self._connection.count, self._connection.ray
        self._workers: list[Any] = []
        self._idle: deque[Any] = deque()
        self._busy: dict[Any, Any] = {}  # the worker of each call
        self._starting: set[Any] = set()  # calls that are answered when a worker has started
        self._reason = "none has started"
        try:
            resources = {"num_cpus": cpus, "num_gpus": self._connection.gpu_share}
            actor = self._ray.remote(**resources, max_restarts=-1, max_task_retries=0)(_Worker)
            for _ in range(self.count):
                worker = actor.remote(torch.get_num_threads())
                self._workers.append(worker)
                self._await(worker)
        except BaseException:
            self.close()
            raise

    def wait(self, count: int = 1) -> None:
        """Wait until this many workers are ready.

        Raises:
            EvaluationError: if no worker can start. The message is the worker's own error.
        """
        while len(self._idle) < count and self._starting:
            self._settle()
        self._check_any()

    def place(self, evaluator: Evaluator) -> Any:
        """Put an evaluator into Ray's object store, from which each worker restores it once, and return its place."""
        return self._ray.put(evaluator)

    def evaluate(self, place: Any, allocations: Sequence[Sequence[int]]) -> Iterator[tuple[int, Evaluation | Failure]]:
        """Yield the index of each allocation with its evaluation, as soon as it is made.

        An allocation whose evaluation fails, or whose worker dies, is evaluated again, up to three times in all.

        Args:
            place: of the evaluator, from :meth:`place`.
            allocations: allocations to evaluate.

        Raises:
            EvaluationError: if no worker is left.
        """
        return self._each(_evaluated, place, allocations)

    def fine_tune(
        self, place: Any, allocations: Sequence[Sequence[int]], *, seed: int
    ) -> Iterator[tuple[int, IntegerModel | Failure]]:
        """Yield the index of each allocation with its fine-tuned integer model, as soon as it is finished.

        Networks are those of :meth:`~mixq_rl.evaluation.integer_evaluator.IntegerEvaluator.fine_tune`. Failures and
        exceptions are as in :meth:`evaluate`.

        Args:
            place: of an evaluator that executes a network on integers.
            allocations: allocations to fine-tune for.
            seed: seed of each fine-tuning.
        """
        return self._each(partial(_fine_tuned, seed=seed), place, allocations)

    def close(self) -> None:
        """End the workers, and shut Ray down if it was started or joined for them."""
        for worker in self._workers:
            self._ray.kill(worker)
        self._workers, self._busy, self._starting = [], {}, set()
        self._idle.clear()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def _each(
        self, job: Callable[[Any, Sequence[int]], T], place: Any, allocations: Sequence[Sequence[int]]
    ) -> Iterator[tuple[int, T | Failure]]:
        """Yield the index of each allocation with the result of a job, as soon as it is done.

        Args:
            job: function of an evaluator and an allocation.
            place: of the evaluator.
            allocations: allocations.
        """
        waiting = deque((index, 1) for index in range(len(allocations)))
        calls: dict[Any, tuple[int, int]] = {}
        while waiting or calls:
            while waiting and self._idle:
                worker, (index, attempt) = self._idle.popleft(), waiting.popleft()
                call = worker.do.remote(job, [place], allocations[index])
                self._busy[call], calls[call] = worker, (index, attempt)
            self._check_any()
            call, result = self._settle()
            if call not in calls:  # a start, or a result that nobody waits for any more
                continue
            index, attempt = calls.pop(call)
            if not isinstance(result, str):
                yield index, result
            elif attempt < ATTEMPTS:
                waiting.appendleft((index, attempt + 1))
            else:
                yield index, Failure(tuple(allocations[index]), result)

    def _await(self, worker: Any) -> None:
        """Have a worker answer when it has started, however often Ray restarts it before."""
        call = worker.versions.options(max_task_retries=-1).remote()
        self._busy[call] = worker
        self._starting.add(call)

    def _settle(self) -> tuple[Any, Any]:
        """Wait for a call to end, and return it with its result, or with the reason why there is none, a str."""
        (call,), _ = self._ray.wait(list(self._busy), num_returns=1)
        worker = self._busy.pop(call)
        starting = call in self._starting
        self._starting.discard(call)
        try:
            result = self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            result = f"its worker died ({said(error)})"
            if starting:
                self._reason = said(error)
            else:
                self._await(worker)
            return call, result
        if starting and result != VERSIONS:
            self._reason = f"it has {listed(result)}, and this process {listed(VERSIONS)}"
        else:
            self._idle.append(worker)
        return call, result

    def _check_any(self) -> None:
        if not self._idle and not self._busy:
            raise EvaluationError(f"no worker can be used: {self._reason}")


class _Worker:
    """Process that evaluates and fine-tunes allocations.

    Args:
        threads: number of torch's threads.
    """

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self._evaluators: dict[str, Evaluator] = {}

    def versions(self) -> dict[str, str]:
        return VERSIONS

    def do(self, job: Callable[[Any, Sequence[int]], T], placed: Sequence[Any], allocation: Sequence[int]) -> T | str:
        """Return the result of a job for an allocation, or the reason why there is none, in one line.

        Args:
            job: function of an evaluator and an allocation.
            placed: the place of the evaluator, in a list, so that Ray does not replace it by the evaluator.
            allocation: the allocation.
        """
        (place,) = placed
        try:
            if place.hex() not in self._evaluators:
                self._evaluators[place.hex()] = importlib.import_module("ray").get(place)
            return job(self._evaluators[place.hex()], allocation)
        except Exception as error:
            return first_line(error) if isinstance(error, InputError) else f"{type(error).__name__}: {said(error)}"


def _evaluated(evaluator: Evaluator, allocation: Sequence[int]) -> Evaluation:
    (evaluation,) = evaluator.evaluate([allocation])
    return evaluation


def _fine_tuned(evaluator: IntegerEvaluator, allocation: Sequence[int], *, seed: int) -> IntegerModel:
    return evaluator.fine_tune(allocation, seed=seed)
