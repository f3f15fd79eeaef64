"""Workers of a run: how many evaluate allocations, and where."""

from dataclasses import dataclass, field

import torch

from mixq_rl.agents.records.evaluator_config import EvaluatorConfig, Stage
from mixq_rl.errors import InputError
from mixq_rl.evaluation.objective import objectives
from mixq_rl.evaluation.ray_connection import require_ray
from mixq_rl.evaluation.ray_workers import RayWorkers

__all__ = ["StartedWorkers", "WorkersConfig"]


@dataclass(frozen=True, kw_only=True)
class WorkersConfig:
    """Workers of a run. The fields are options of the commands (:mod:`mixq_rl.agents.cli.fields`).

    They are no part of a run's configuration. The results do not depend on them, and a run that is resumed may have
    others. A file must not name the address of a cluster either: whatever runs there is trusted.

    Attributes:
        workers: number of workers; 0: allocations are evaluated in this process, or, with an address, by one worker for
            each CPU of the cluster (each GPU, if the networks are on one).
        ray_address: address of a Ray cluster, as in :class:`~mixq_rl.evaluation.ray_connection.RayConnection`; None:
            the workers are on this machine.

    Raises:
        InputError: for a negative number, or if workers are asked for and Ray is not installed.
    """

    workers: int = field(
        default=0,
        metadata={
            "help": "Evaluate allocations in this many processes of Ray. 0: in this one; with --ray-address in one for "
            "each CPU or GPU of the cluster."
        },
    )
    ray_address: str | None = field(
        default=None,
        metadata={"help": "Evaluate allocations on a Ray cluster.", "metavar": "auto|HOST:PORT"},
    )

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise InputError(f"{self.workers} workers: 0 or more are possible")
        if self.wanted:
            require_ray()

    @property
    def wanted(self) -> bool:
        """Whether there are workers beside this process."""
        return self.workers > 0 or self.ray_address is not None

    def check(self, config: EvaluatorConfig) -> None:
        """Check that workers can evaluate what a configuration asks for.

        Raises:
            InputError: if they cannot.
        """
        if not self.wanted:
            return
        if not objectives[config.objective].repeatable:
            raise InputError(
                f"objective {config.objective}: times are measured one after another on this machine: leave out "
                "--workers and --ray-address"
            )
        if torch.device(config.device).index:
            raise InputError(f"device {config.device}: Ray gives each worker its GPU: use --device cuda")


class StartedWorkers:
    """Workers that are started when the first network needs them.

    Args:
        config: configuration of the workers.
    """

    def __init__(self, config: WorkersConfig) -> None:
        self._config = config
        self._workers: RayWorkers | None = None

    def start(self, config: EvaluatorConfig, stage: Stage) -> RayWorkers | None:
        """Return the workers, at least one of which is ready; None: allocations are evaluated in this process.

        Args:
            config: configuration of the evaluator.
            stage: reports the start.

        Raises:
            InputError: as in :meth:`WorkersConfig.check` and :class:`~mixq_rl.evaluation.ray_workers.RayWorkers`.
            EvaluationError: if no worker can start.
        """
        self._config.check(config)
        if self._config.wanted and self._workers is None:
            with stage("starting workers", ""):
                self._workers = RayWorkers(
                    self._config.workers or None,
                    address=self._config.ray_address,
                    gpus=torch.device(config.device).type == "cuda",
                )
                self._workers.wait()
        return self._workers

    def close(self) -> None:
        """End the workers, if any."""
        if self._workers is not None:
            self._workers.close()
