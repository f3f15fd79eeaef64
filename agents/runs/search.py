"""Run of ``mixq-rl search``: several searches of one network in one run folder."""

import json
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mixq_rl.agents.allocation import pretrained
from mixq_rl.agents.comparison import search_document
from mixq_rl.agents.monitoring import RunWriter, end_session, watch
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig, Stage, silent
from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.prepared_evaluator import PreparedEvaluator
from mixq_rl.agents.records.trace import Trace, traces
from mixq_rl.agents.records.workers_config import WorkersConfig
from mixq_rl.agents.runs.context import RunContext
from mixq_rl.agents.runs.feasibility import check_limits
from mixq_rl.agents.searches import SearchProblem, run_search, searches
from mixq_rl.envs import TradeOff
from mixq_rl.errors import InputError
from mixq_rl.evaluation.objective import BITOPS, objectives
from mixq_rl.training.cache import PreparationCache

__all__ = ["SearchPlan", "run_searches"]


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """Searches of a run. The fields are options of ``mixq-rl search`` (:mod:`mixq_rl.agents.cli.fields`).

    Attributes:
        algorithms: names in :data:`~mixq_rl.agents.searches.searches`.
        evaluations: budget of each search: number of distinct allocations, at least 1.
        seeds: number of searches with each algorithm, with seeds 0, 1, ..., at least 1.
        from_scratch: whether PPO begins with a new policy, and not with the policy that comes with the package. It is
            then stored as another search.

    Raises:
        InputError: for a value out of bounds, or an unknown algorithm.
    """

    algorithms: tuple[str, ...] = field(
        default=("ppo",),
        metadata={
            "help": f"Search algorithm: {', '.join(searches)}.",
            "names": ("--algorithm",),
            "completion": searches,
        },
    )
    evaluations: int = field(default=256, metadata={"help": "Budget of each search: distinct allocations evaluated."})
    seeds: int = field(default=1, metadata={"help": "Number of searches with each algorithm, with seeds 0, 1, ..."})
    from_scratch: bool = field(
        default=False,
        metadata={
            "help": "Let PPO begin without the proposals of the package's policy.",
            "names": ("--from-scratch",),
        },
    )

    def __post_init__(self) -> None:
        for name in self.algorithms:
            searches[name]
        if self.evaluations < 1:
            raise InputError(f"a budget of {self.evaluations} evaluations: at least 1 is needed")
        if self.seeds < 1:
            raise InputError(f"{self.seeds} seeds: at least 1 is needed")


def run_searches(
    config: EvaluatorConfig,
    plan: SearchPlan,
    run_dir: Path,
    stage: Stage = silent,
    cache: PreparationCache | None = None,
    *,
    workers: WorkersConfig = WorkersConfig(),
) -> list[Trace]:
    """Run searches on the same evaluator, and store every evaluation in the run folder.

    A run folder with the same configuration can be reused. Allocations in its store are not evaluated again, whether
    another search requested them or the same search before it was killed. A search that was killed repeats its steps.
    Each search writes TensorBoard's events into a folder of its own. Events of an earlier run of it are not shown.

    Args:
        config: configuration of the evaluator.
        plan: searches to run.
        run_dir: run folder: new, empty, or with the same configuration.
        stage: reports each long stage.
        cache: cache of prepared networks; None: everything is trained.
        workers: workers that evaluate what the searches request.

    Returns:
        All searches in the folder, including earlier ones.

    Raises:
        InputError: if the run folder is in use or holds another run, the dataset cannot be loaded, or the objective is
            not bit operations, by which searches are compared.
    """
    if objectives[config.objective] is not BITOPS:
        raise InputError(
            f"searches are compared by bit operations: the objective {config.objective} is for mixq-rl train"
        )
    config = config.pinned()
    with stage("loading the dataset", ""):
        task, model = config.load()
    check_limits(config, task, model, stage)
    folder = RunFolder.create(run_dir, "search", config, notes=task.notes, shared=True)
    with RunContext.of(folder, stage, cache, workers) as run:
        folder.result.unlink(missing_ok=True)
        prepared = run.prepare(config, task, model)
        jobs = [(name, seed) for name in plan.algorithms for seed in range(plan.seeds)]
        for name, seed in jobs:
            # Always drawn for the last search, whose figures show all searches with its seed.
            _search(run, config, plan, prepared, name, seed, last=(name, seed) == jobs[-1])
        found = traces(run.store, prepared.fingerprint)
        run.end(json.dumps(search_document(found), indent=2))
        return found


def _search(
    run: RunContext,
    config: EvaluatorConfig,
    plan: SearchPlan,
    prepared: PreparedEvaluator,
    name: str,
    seed: int,
    *,
    last: bool,
) -> None:
    """Run one search, with TensorBoard's events in a folder of its own."""
    with (
        closing(RunWriter(run.folder.path / f"{name}-seed{seed}")) as writer,
        run.stage(f"{name}, seed {seed}", "evaluations") as progress,
    ):
        scratch = "from scratch" if plan.from_scratch and name == "ppo" else ""
        search = ", ".join(filter(None, [name, scratch, config.constrained]))
        ledger = prepared.ledger((search, seed), budget=plan.evaluations)
        monitor = watch(
            prepared,
            ledger,
            writer=writer,
            search=search,
            seed=seed,
            episodes=plan.evaluations,
            reward=TradeOff(),
            settings=asdict(config),
            share=run.share,
            progress=progress,
        )
        ledger.watch(on_request=monitor)
        problem = SearchProblem(
            ledger,
            seed,
            reference_accuracy=prepared.majority,
            logger=writer.logger,
            constraints=config.constraints,
            start=pretrained() if name == "ppo" and not plan.from_scratch else None,
        )
        run_search(name, problem)
        monitor.finish(always=last)
        end_session(writer)
