"""Searches of one problem, beside each other in one run folder."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from mixq_rl.agents.comparison import search_document
from mixq_rl.agents.monitoring import RunWriter, TimeShare, end_session, watch
from mixq_rl.agents.progress.log import log_into, logged, together
from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.problem import ProblemConfig, Stage, silent
from mixq_rl.agents.records.stored_problem import StoredProblem, opened
from mixq_rl.agents.records.trace import Trace, traces
from mixq_rl.agents.searches import SearchProblem, run_search, searches
from mixq_rl.envs import TradeOff
from mixq_rl.errors import InputError
from mixq_rl.evaluation.objective import Objective
from mixq_rl.storage.files import replace_file
from mixq_rl.training.cache import PreparationCache

__all__ = ["SearchPlan", "run_searches"]


@dataclass(frozen=True)
class SearchPlan:
    """Which searches are run.

    Attributes:
        algorithms: names of :data:`~mixq_rl.agents.searches.searches`.
        evaluations: budget of each: distinct allocations, at least 1.
        seeds: of each algorithm, 0, 1, ..., at least 1.

    Raises:
        InputError: for a value out of bounds, or an unknown algorithm.
    """

    algorithms: Sequence[str] = ("ppo",)
    evaluations: int = 256
    seeds: int = 1

    def __post_init__(self) -> None:
        for name in self.algorithms:
            searches[name]
        if self.evaluations < 1:
            raise InputError(f"a budget of {self.evaluations} evaluations: at least 1 is needed")
        if self.seeds < 1:
            raise InputError(f"{self.seeds} seeds: at least 1 is needed")


def run_searches(
    config: ProblemConfig,
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
        config: of the problem.
        plan: which searches.
        run_dir: new, empty, or of the same configuration.
        stage: told of each long stage.
        cache: of prepared networks.

    Returns:
        all searches in the folder, earlier ones among them.

    Raises:
        InputError: if the run folder is in use for something else, the data are not what they should be, or time is
            the objective, by which searches are not compared.
    """
    if config.objective is not Objective.BITOPS:
        raise InputError("searches are compared by bit operations: the objective latency is for mixq-rl train")
    share = TimeShare()
    with stage("loading the dataset", ""):
        task, model = config.load()
        folder = RunFolder.create(run_dir, "search", config, shared=True)
    with folder, log_into(folder.log), opened(folder.evaluations) as store:
        folder.result.unlink(missing_ok=True)
        stage = together(logged, stage)
        problem = StoredProblem.prepare(config, task, model, store, stage, cache)
        jobs = [(name, seed) for name in plan.algorithms for seed in range(plan.seeds)]
        for name, seed in jobs:
            with (
                closing(RunWriter(folder.path / f"{name}-seed{seed}")) as writer,
                stage(f"{name}, seed {seed}", "evaluations") as progress,
            ):
                ledger = problem.ledger((name, seed), budget=plan.evaluations)
                monitor = watch(
                    problem,
                    ledger,
                    writer=writer,
                    search=name,
                    seed=seed,
                    episodes=plan.evaluations,
                    reward=TradeOff(),
                    settings=asdict(config),
                    share=share,
                    progress=progress,
                )
                ledger.watch(on_request=monitor)
                run_search(name, SearchProblem(ledger, seed, reference_accuracy=problem.majority, logger=writer.logger))
                # The figures of the last search show all searches of its seed.
                monitor.finish(always=(name, seed) == jobs[-1])
                end_session(writer)
        found = traces(store, problem.fingerprint)
        replace_file(folder.result, json.dumps(search_document(found), indent=2) + "\n")
        return found
