"""Command ``mixq-rl search``: searches of one network by several algorithms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mixq_rl.agents.cli import options
from mixq_rl.agents.cli.failures import going_on
from mixq_rl.agents.cli.fields import Given, options_of
from mixq_rl.agents.cli.output import output
from mixq_rl.agents.cli.run_choice import default_run_dir, whereabouts
from mixq_rl.agents.comparison import comparison_table, search_document
from mixq_rl.agents.progress.interruption import interruptible
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.agents.records.trace import Trace
from mixq_rl.agents.records.workers_config import WorkersConfig
from mixq_rl.agents.runs.search import SearchPlan, run_searches
from mixq_rl.training.cache import PreparationCache

__all__ = ["budgets", "search"]


@options_of(SearchPlan, parameter="planned")
@options_of(WorkersConfig, parameter="working")
@options_of(EvaluatorConfig, without=("objective",))
def search(
    *,
    planned: Given[SearchPlan],
    given: Given[EvaluatorConfig],
    working: Given[WorkersConfig],
    seed: Annotated[
        int, typer.Option(help="Seed of weights and training. The searches have seeds 0, 1, ...")
    ] = EvaluatorConfig.seed,
    cache: options.Cache = options.CACHE,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results: new, empty, or of a search with the same configuration.",
            show_default="runs/<dataset>-<model>-seed<seed>-<time>",
        ),
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Search the allocations of one network with one or several algorithms, and compare the algorithms.

    Algorithms share evaluations. A run folder with the same configuration can be reused: allocations in its store are
    not evaluated again.

    Example: mixq-rl search --algorithm ppo --algorithm tpe --dataset Cora --data-root data --seeds 3
    """
    with output(quiet, as_json) as out:
        plan = planned.config()
        config, workers = given.config(seed=seed), working.config()
        workers.check(config)
        folder = run_dir or default_run_dir(config)
        where = whereabouts(folder)
        with going_on(folder, "search, the same options, and --run-dir"), interruptible(out.announcing(where)) as stage:
            found = run_searches(config, plan, folder, stage, PreparationCache(cache), workers=workers)
        out.show(comparison_table(found, budgets(found)))
        out.say(where)
        out.conclude({"run_dir": str(folder), "searches": search_document(found)})


def budgets(found: Sequence[Trace]) -> list[int]:
    """Return 32, 64, 128, ... below the number of evaluations of the longest search, and that number."""
    longest = max(len(trace.evaluations) for trace in found)
    return [*(budget for budget in (32 << step for step in range(16)) if budget < longest), longest]
