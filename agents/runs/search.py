"""The run of ``mixq-rl search``: several searches of one network in one run folder."""

import json
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mixq_rl.agents.comparison import search_document
from mixq_rl.agents.monitoring import RunWriter, end_session, watch
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig, Stage, silent
from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.prepared_evaluator import PreparedEvaluator
from mixq_rl.agents.records.trace import Trace, traces
from mixq_rl.agents.runs.context import RunContext
from mixq_rl.agents.searches import SearchProblem, run_search, searches
from mixq_rl.envs import TradeOff
from mixq_rl.errors import InputError
from mixq_rl.evaluation.objective import BITOPS, objectives
from mixq_rl.training.cache import PreparationCache

__all__ = ["SearchPlan", "run_searches"]


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """Which searches are run. Its fields are options of ``mixq-rl search`` (:mod:`mixq_rl.agents.cli.fields`).

    Attributes:
        algorithms: names of :data:`~mixq_rl.agents.searches.searches`.
        evaluations: budget of each: distinct allocations, at least 1.
        seeds: number of runs of each algorithm, with seeds 0, 1, ..., at least 1.

    Raises:
        InputError: for a value out of bounds, or an unknown algorithm.
    """

    algorithms: tuple[str, ...] = field(
        default=("ppo",),
        metadata={"help": f"{', '.join(searches)}.", "names": ("--algorithm",), "completion": searches},
    )
    evaluations: int = field(default=256, metadata={"help": "Budget of each search: distinct allocations evaluated."})
    seeds: int = field(default=1, metadata={"help": "Runs of each search, with seeds 0, 1, ..."})

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
) -> list[Trace]:
    """Run searches on the same evaluator, and keep every evaluation in the run folder's store.

    A folder of the same configuration is gone on with: nothing that its store has is evaluated again, whether other
    searches asked for it, or this one before it was killed; a search that was killed takes the same steps again. Each
    search writes TensorBoard's events into a folder of its own, and anew whenever it is run.

    Args:
        config: of the prepared.
        plan: which searches.
        run_dir: new, empty, or of the same configuration.
        stage: told of each long stage.
        cache: of prepared networks.

    Returns:
        all searches in the folder, earlier ones among them.

    Raises:
        InputError: if the run folder is in use for something else, the data are not what they should be, or the
            objective is not bit operations, by which searches are compared.
    """
    if objectives[config.objective] is not BITOPS:
        raise InputError(
            f"searches are compared by bit operations: the objective {config.objective} is for mixq-rl train"
        )
    with stage("loading the dataset", ""):
        task, model = config.load()
        folder = RunFolder.create(run_dir, "search", config, shared=True)
    with RunContext.of(folder, stage, cache) as run:
        folder.result.unlink(missing_ok=True)
        prepared = run.prepare(config, task, model)
        jobs = [(name, seed) for name in plan.algorithms for seed in range(plan.seeds)]
        for name, seed in jobs:
            # The figures of the last search show all searches of its seed.
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
    """Run one search, watched by TensorBoard in a folder of its own."""
    with (
        closing(RunWriter(run.folder.path / f"{name}-seed{seed}")) as writer,
        run.stage(f"{name}, seed {seed}", "evaluations") as progress,
    ):
        ledger = prepared.ledger((name, seed), budget=plan.evaluations)
        monitor = watch(
            prepared,
            ledger,
            writer=writer,
            search=name,
            seed=seed,
            episodes=plan.evaluations,
            reward=TradeOff(),
            settings=asdict(config),
            share=run.share,
            progress=progress,
        )
        ledger.watch(on_request=monitor)
        run_search(name, SearchProblem(ledger, seed, reference_accuracy=prepared.majority, logger=writer.logger))
        monitor.finish(always=last)
        end_session(writer)
