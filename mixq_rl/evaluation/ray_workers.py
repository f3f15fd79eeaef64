"""Ray actors that evaluate allocations, on this machine or on a cluster."""

import importlib
import logging
import os
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any, Self

import torch

from mixq_rl.errors import EvaluationError, InputError
from mixq_rl.evaluation.protocol import Evaluation, Evaluator, Failure
from mixq_rl.printable import first_line
from mixq_rl.version import __version__

__all__ = ["ATTEMPTS", "RayWorkers", "require_ray"]

ATTEMPTS = 3
"""How often an allocation is evaluated, each time by any worker, before it is given up."""

_CONNECT_SECONDS = 10
_VERSIONS = {"mixq-rl": __version__, "torch": torch.__version__}


def require_ray() -> None:
    """Check that Ray is installed, without its import.

    Raises:
        InputError: if it is not.
    """
    if find_spec("ray") is None:
        raise InputError("evaluation on workers needs Ray, which is not installed: pip install 'mixq-rl[ray]'")


class RayWorkers:
    """Workers that evaluate allocations for any number of evaluators, each an actor of Ray in a process of its own.

    A worker that dies is started again by Ray, if need be on another node. Until then the others go on without it.
    Workers use as many threads for torch as this process, because results of float32 training depend on that number.

    Close the workers when they are no longer needed, or use them as a context manager. Ray is shut down then, unless
    it ran in this process before.

    Args:
        count: number of workers, at least 1; None: one for each GPU of the cluster if ``gpus`` is true, otherwise one
            for each CPU.
        address: address of a cluster: ``"auto"`` (the one on this machine) or ``"HOST:PORT"``; None: Ray is started on
            this machine, for these workers alone. Ignored if Ray runs in this process already.
        cpus: CPUs of Ray that each worker occupies, may be a fraction.
        gpus: whether the workers use GPUs. Each has one GPU, or an equal share of one if they are fewer.

    Attributes:
        count: number of workers.

    Raises:
        InputError: if Ray is not installed, the cluster cannot be reached, or has too few CPUs or no GPU.
    """

    def __init__(
        self, count: int | None = None, *, address: str | None = None, cpus: float = 1.0, gpus: bool = False
    ) -> None:
        if count is not None and count < 1:
            raise InputError(f"{count} workers: at least 1 is needed")
        require_ray()
        self._ray: Any = importlib.import_module("ray")
        self._starts_ray = not self._ray.is_initialized()
        if self._starts_ray:
            _quieten()
            self._init(count, address, cpus)
        self._workers: list[Any] = []
        self._idle: deque[Any] = deque()
        self._busy: dict[Any, Any] = {}  # the worker of each call
        self._starting: set[Any] = set()  # calls that are answered when a worker has started
        self._reason = "none has started"
        try:
            self.count, share = self._shares(count, cpus, gpus)
            actor = self._ray.remote(num_cpus=cpus, num_gpus=share, max_restarts=-1, max_task_retries=0)(_Worker)
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
        waiting = deque((index, 1) for index in range(len(allocations)))
        calls: dict[Any, tuple[int, int]] = {}
        while waiting or calls:
            while waiting and self._idle:
                worker, job = self._idle.popleft(), waiting.popleft()
                call = worker.evaluate.remote([place], allocations[job[0]])
                self._busy[call], calls[call] = worker, job
            self._check_any()
            call, result = self._settle()
            if call not in calls:  # a start, or an evaluation that nobody waits for any more
                continue
            index, attempt = calls.pop(call)
            if isinstance(result, Evaluation):
                yield index, result
            elif attempt < ATTEMPTS:
                waiting.appendleft((index, attempt + 1))
            else:
                yield index, Failure(tuple(allocations[index]), result)

    def close(self) -> None:
        """End the workers, and shut Ray down if it was started or joined for them."""
        for worker in self._workers:
            self._ray.kill(worker)
        self._workers, self._busy, self._starting = [], {}, set()
        self._idle.clear()
        if self._starts_ray and self._ray.is_initialized():
            self._ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def _init(self, count: int | None, address: str | None, cpus: float) -> None:
        """Start Ray on this machine, or join a cluster."""
        settings: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        if address is None:
            cores = count if count is not None else os.cpu_count() or 1
            settings |= {"address": "local", "num_cpus": max(1, -int(-cores * cpus // 1)), "include_dashboard": False}
        else:
            _check_reachable(address)
            settings |= {"address": address}
        try:
            self._ray.init(**settings)
        except (OSError, RuntimeError, ValueError) as error:
            where = "on this machine" if address is None else f"at {address!r}"
            raise InputError(f"Ray {where} cannot be used: {first_line(error)}") from error

    def _shares(self, count: int | None, cpus: float, gpus: bool) -> tuple[int, float]:
        """Return the number of workers and each one's share of a GPU."""
        resources = self._ray.cluster_resources()
        most, devices = int(resources.get("CPU", 0) / cpus + 1e-9), int(resources.get("GPU", 0))
        if gpus and not devices:
            raise InputError("Ray has no GPU, and the device of the run is one: use --device cpu")
        wanted = count if count is not None else devices if gpus else most
        if not 1 <= wanted <= most:
            raise InputError(f"{wanted} workers: the CPUs of the cluster are enough for {most}")
        return wanted, (1 / -(-wanted // devices) if gpus else 0.0)

    def _await(self, worker: Any) -> None:
        """Have a worker answer when it has started, however often Ray restarts it before."""
        call = worker.versions.options(max_task_retries=-1).remote()
        self._busy[call] = worker
        self._starting.add(call)

    def _settle(self) -> tuple[Any, Any]:
        """Wait for a call to end, and return it with its result: an evaluation, or the reason why there is none."""
        (call,), _ = self._ray.wait(list(self._busy), num_returns=1)
        worker = self._busy.pop(call)
        starting = call in self._starting
        self._starting.discard(call)
        try:
            result = self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            result = f"its worker died ({_said(error)})"
            if starting:
                self._reason = _said(error)
            else:
                self._await(worker)
            return call, result
        if starting and result != _VERSIONS:
            self._reason = f"it has {_listed(result)}, and this process {_listed(_VERSIONS)}"
        else:
            self._idle.append(worker)
        return call, result

    def _check_any(self) -> None:
        if not self._idle and not self._busy:
            raise EvaluationError(f"no worker can be used: {self._reason}")


class _Worker:
    """Process that evaluates allocations.

    Args:
        threads: number of torch's threads.
    """

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self._evaluators: dict[str, Evaluator] = {}

    def versions(self) -> dict[str, str]:
        return _VERSIONS

    def evaluate(self, placed: Sequence[Any], allocation: Sequence[int]) -> Evaluation | str:
        """Return the evaluation of an allocation, or the reason why there is none, in one line.

        Args:
            placed: the place of the evaluator, in a list, so that Ray does not replace it by the evaluator.
            allocation: the allocation.
        """
        (place,) = placed
        try:
            if place.hex() not in self._evaluators:
                self._evaluators[place.hex()] = importlib.import_module("ray").get(place)
            (evaluation,) = self._evaluators[place.hex()].evaluate([allocation])
        except Exception as error:
            return first_line(error) if isinstance(error, InputError) else f"{type(error).__name__}: {_said(error)}"
        return evaluation


def _said(error: Exception) -> str:
    """Return the message of an exception in one line; of one that quotes a traceback its last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if 'File "' in str(error) else lines[0]) if lines else type(error).__name__


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _quieten() -> None:
    """Have Ray print nothing into this process's output, in which it would be taken for ours."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Messages of raylets about dead workers are printed even without log_to_driver.
    printing: Any = importlib.import_module("ray._private.worker")
    printing._worker_logs_enabled = False


def _check_reachable(address: str) -> None:
    """Check that something listens at HOST:PORT, which Ray would try for minutes."""
    host, separator, port = address.rpartition(":")
    if address == "auto":
        return
    if not separator or not host or not port.isdecimal():
        raise InputError(f"address {address!r} of a Ray cluster is neither 'auto' nor HOST:PORT")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"no Ray cluster at {address!r}: {error}") from error
