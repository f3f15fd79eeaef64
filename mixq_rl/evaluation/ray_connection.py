"""Connection to Ray: Ray of this process's own on this machine, or a cluster that is joined."""

import importlib
import logging
import os
import socket
from importlib.util import find_spec
from typing import Any, Self

import torch

from mixq_rl.errors import InputError
from mixq_rl.printable import first_line
from mixq_rl.version import __version__

__all__ = ["ATTEMPTS", "VERSIONS", "RayConnection", "listed", "require_ray", "said"]

ATTEMPTS = 3
"""How often a job is done, each time by any worker, before it is given up."""

VERSIONS = {"mixq-rl": __version__, "torch": torch.__version__}
"""Versions that workers must have."""

_CONNECT_SECONDS = 10


def require_ray() -> None:
    """Check that Ray is installed, without its import.

    Raises:
        InputError: if it is not.
    """
    if find_spec("ray") is None:
        raise InputError("evaluation on workers needs Ray, which is not installed: pip install 'mixq-rl[ray]'")


class RayConnection:
    """Connection to Ray, which ends with :meth:`close` or a ``with`` block, unless Ray ran in this process before.

    Args:
        count: number of workers, at least 1; None: one for each GPU of the cluster if ``gpus`` is true, otherwise one
            for each CPU.
        address: address of a cluster: ``"auto"`` (the one on this machine) or ``"HOST:PORT"``; None: Ray is started on
            this machine, for these workers alone. Ignored if Ray runs in this process already.
        cpus: CPUs of Ray that each worker occupies, may be a fraction.
        gpus: whether the workers use GPUs. Each has one GPU, or an equal share of one if they are fewer.

    Attributes:
        ray: the package Ray.
        count: number of workers.
        gpu_share: GPUs of a worker.

    Raises:
        InputError: if Ray is not installed, the cluster cannot be reached, or has too few CPUs or no GPU.
    """

    def __init__(
        self, count: int | None = None, *, address: str | None = None, cpus: float = 1.0, gpus: bool = False
    ) -> None:
        if count is not None and count < 1:
            raise InputError(f"{count} workers: at least 1 is needed")
        require_ray()
        self.ray: Any = importlib.import_module("ray")
        self._starts_ray = not self.ray.is_initialized()
        if self._starts_ray:
            _quieten()
            self._init(count, address, cpus)
        try:
            self.count, self.gpu_share = self._shares(count, cpus, gpus)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Shut Ray down if it was started or joined by this connection."""
        if self._starts_ray and self.ray.is_initialized():
            self.ray.shutdown()

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
            self.ray.init(**settings)
        except (OSError, RuntimeError, ValueError) as error:
            where = "on this machine" if address is None else f"at {address!r}"
            raise InputError(f"Ray {where} cannot be used: {first_line(error)}") from error

    def _shares(self, count: int | None, cpus: float, gpus: bool) -> tuple[int, float]:
        """Return the number of workers and each one's share of a GPU."""
        resources = self.ray.cluster_resources()
        most, devices = int(resources.get("CPU", 0) / cpus + 1e-9), int(resources.get("GPU", 0))
        if gpus and not devices:
            raise InputError("Ray has no GPU, and the device of the run is one: use --device cpu")
        wanted = count if count is not None else devices if gpus else most
        if not 1 <= wanted <= most:
            raise InputError(f"{wanted} workers: the CPUs of the cluster are enough for {most}")
        return wanted, (1 / -(-wanted // devices) if gpus else 0.0)


def said(error: Exception) -> str:
    """Return the message of an exception in one line; of one that quotes a traceback its last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if 'File "' in str(error) else lines[0]) if lines else type(error).__name__


def listed(versions: dict[str, str]) -> str:
    """Return versions as text: ``"mixq-rl 0.1.0, torch 2.13.0"``."""
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
