"""Context of a run: folder, store, stages and cache."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixq_rl.agents.allocation import load_agent
from mixq_rl.agents.monitoring import TimeShare
from mixq_rl.agents.ppo.agent import PPOAgent
from mixq_rl.agents.progress.log import log_into, logged, together
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig, Stage
from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.prepared_evaluator import PreparedEvaluator, opened
from mixq_rl.agents.records.workers_config import StartedWorkers, WorkersConfig
from mixq_rl.datasets import GraphTask
from mixq_rl.errors import InputError
from mixq_rl.evaluation.store import EvaluationStore
from mixq_rl.nn import QuantizableModel
from mixq_rl.storage.files import replace_file, replacing_folder
from mixq_rl.training.cache import PreparationCache

__all__ = ["RunContext"]

_START = "start"


@dataclass(frozen=True)
class RunContext:
    """Context that the phases of a run share. Each phase is a function whose first argument is the context.

    Attributes:
        folder: folder of the run, locked.
        store: store of the evaluations, in the folder.
        stage: reports each long phase, on the screen and in the log.
        cache: cache of prepared networks; None: everything is trained.
        share: limit on the share of the time that figures for TensorBoard take.
        workers: workers that evaluate what searches request.
    """

    folder: RunFolder
    store: EvaluationStore
    stage: Stage
    cache: PreparationCache | None
    share: TimeShare
    workers: StartedWorkers

    @classmethod
    @contextmanager
    def of(
        cls, folder: RunFolder, stage: Stage, cache: PreparationCache | None, workers: WorkersConfig
    ) -> Iterator["RunContext"]:
        """Open the log and the store of a run folder. The end of the block closes both, and releases the folder.

        Workers that were started are ended, too.

        Args:
            folder: folder of the run.
            stage: reports each long phase on the screen.
            cache: cache of prepared networks; None: everything is trained.
            workers: workers that evaluate what searches request.

        Raises:
            ArtifactError: if the store is damaged.
            OSError: if the log or the store cannot be written.
        """
        share = TimeShare()
        with (
            folder,
            log_into(folder.log),
            opened(folder.evaluations) as store,
            closing(StartedWorkers(workers)) as started,
        ):
            yield cls(folder, store, together(logged, stage), cache, share, started)

    def prepare(
        self, config: EvaluatorConfig, task: GraphTask, model: QuantizableModel, *, title: str | None = None
    ) -> PreparedEvaluator:
        """Start the workers, train the network or load it from the cache, and describe it in the store.

        Args:
            config: configuration of the evaluator.
            task: task of :meth:`~mixq_rl.agents.records.evaluator_config.EvaluatorConfig.load`.
            model: model of the configuration; trained in float32, in place, unless its weights are given.
            title: title of the network, shown at each stage; None: model and dataset, not shown at the stages.
        """
        workers = self.workers.start(config, self.stage)
        return PreparedEvaluator.prepare(
            config, task, model, self.store, self.stage, self.cache, title=title, workers=workers
        )

    def keep_start(self, agent: PPOAgent) -> None:
        """Keep the policy that the run begins with, for :meth:`start`."""
        self.save_policy(agent, self.folder.path / _START)

    def start(self, policy: str) -> PPOAgent:
        """Return the policy that a resumed run began with.

        Args:
            policy: path in the run's configuration, which is not followed; empty: the policy of the package.

        Raises:
            InputError: if the run had a policy of its own and does not hold it.
        """
        kept = self.folder.path / _START
        if kept.is_dir():
            return PPOAgent.load(kept)
        if policy:
            raise InputError(
                f"run folder {str(self.folder.path)!r} does not hold the policy that it began with: begin a new run"
            )
        return load_agent(None)

    def save_policy(self, agent: PPOAgent, path: Path) -> None:
        """Write an agent's policy into the run folder, atomically."""
        with replacing_folder(path) as draft:
            agent.save(draft)

    def end(self, result: str) -> None:
        """Write the result, given as JSON, which marks the run as ended, and remove the checkpoints."""
        replace_file(self.folder.result, result + "\n")
        shutil.rmtree(self.folder.checkpoints, ignore_errors=True)
