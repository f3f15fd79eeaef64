"""Evaluator of a prepared network, with the store of its evaluations."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixq_rl.agents.records.component_costs import component_costs
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig, Stage, silent
from mixq_rl.datasets import GraphTask
from mixq_rl.datasets.metrics import Metric, metrics
from mixq_rl.evaluation.integer_evaluator import IntegerEvaluator
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.evaluation.protocol import Evaluation, Evaluator
from mixq_rl.evaluation.ray_evaluator import RayEvaluator
from mixq_rl.evaluation.ray_workers import RayWorkers
from mixq_rl.evaluation.store import EvaluationStore, EvaluatorDescription
from mixq_rl.integer.model import IntegerModel
from mixq_rl.metering import ComponentCost
from mixq_rl.nn import QuantizableModel
from mixq_rl.training.cache import PreparationCache
from mixq_rl.training.loop import Progress

__all__ = ["PreparedEvaluator", "opened", "prefixed"]


@contextmanager
def opened(path: Path, *, read_only: bool = False) -> Iterator[EvaluationStore]:
    """Open a store inside the block.

    Raises:
        ArtifactError: as in :class:`~mixq_rl.EvaluationStore`.
        OSError: as in :class:`~mixq_rl.EvaluationStore`.
    """
    store = EvaluationStore(path, read_only=read_only)
    try:
        yield store
    finally:
        store.close()


@dataclass(frozen=True)
class PreparedEvaluator:
    """Evaluator of a prepared network, with the store of its evaluations.

    Attributes:
        evaluator: evaluator of the prepared network.
        searched: evaluates what searches request: ``evaluator``, or its workers.
        store: store of the evaluator's description and evaluations.
        description: description of the evaluator in the store.
    """

    evaluator: IntegerEvaluator
    searched: Evaluator
    store: EvaluationStore
    description: EvaluatorDescription

    @classmethod
    def prepare(
        cls,
        config: EvaluatorConfig,
        task: GraphTask,
        model: QuantizableModel,
        store: EvaluationStore,
        stage: Stage = silent,
        cache: PreparationCache | None = None,
        *,
        title: str | None = None,
        workers: RayWorkers | None = None,
    ) -> "PreparedEvaluator":
        """Prepare a network, and describe its evaluator in a store.

        Args:
            config: configuration of the evaluator.
            task: task of the network.
            model: model of the configuration; trained in float32, in place, unless its weights are given.
            store: store of the evaluations.
            stage: reports each long stage.
            cache: cache of prepared networks; None: everything is trained.
            title: title of the network, shown at each stage; None: model and dataset, not shown at the stages.
            workers: evaluate what searches request; None: this process does.
        """
        if title is not None:
            stage = prefixed(stage, title)
        evaluator = config.prepare(task, model, stage, cache)
        if task.x.is_cuda:
            with stage("compiling kernels", "steps") as progress:
                evaluator.warm_up(progress)
        name = title or f"{config.network} on {task.name}"
        description = EvaluatorDescription.of(evaluator, name, task.constant_score("validation"), task.metric)
        store.describe(evaluator.fingerprint, description)
        searched = evaluator if workers is None else RayEvaluator(evaluator, workers)
        return cls(evaluator, searched, store, description)

    @property
    def title(self) -> str:
        return self.description.name

    @property
    def majority(self) -> float:
        """The hypervolume's reference: accuracy of the majority class, or the metric of a constant prediction."""
        return self.description.reference_accuracy

    @property
    def metric(self) -> Metric:
        """The metric of the task."""
        return metrics[self.description.metric]

    @property
    def fingerprint(self) -> str:
        """Identity of the evaluator, its key in the store."""
        return self.evaluator.fingerprint

    @property
    def workers(self) -> RayEvaluator | None:
        """The evaluator with its workers; None: there are none."""
        return self.searched if isinstance(self.searched, RayEvaluator) else None

    def ledger(self, search: tuple[str, int] | None = None, *, budget: int | None = None) -> Ledger:
        """Return a new ledger of the evaluator over the store.

        Args:
            search: name and seed of the search whose requests it lists in the store.
            budget: number of distinct allocations.
        """
        return Ledger(self.searched, store=self.store, budget=budget, search=search)

    def rivals(self, search: str, seed: int) -> dict[str, list[Evaluation]]:
        """Return the evaluations that other searches of this seed requested, by search."""
        found = self.store.searches(self.fingerprint)
        return {name: made for (name, other), made in found.items() if other == seed and name != search}

    def costs(self, allocation: Sequence[int]) -> dict[str, ComponentCost]:
        """Return the cost of each component at an allocation, measured with the prepared weights, without training."""
        return component_costs(self.evaluator, IntegerModel.freeze(self.evaluator.model, allocation))


def prefixed(stage: Stage, title: str) -> Stage:
    """Return a stage with a title before that of each stage."""

    def titled(what: str, unit: str) -> AbstractContextManager[Progress]:
        return stage(f"{title}: {what}", unit)

    return titled
