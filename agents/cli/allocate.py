"""Command ``mixq-rl allocate``: bit-widths for a network, without a search."""

from typing import Annotated

import typer

from mixq_rl.agents.allocation import PREFERENCE, allocate_for, check_wish, load_agent
from mixq_rl.agents.cli import options
from mixq_rl.agents.cli.fields import Given, options_of
from mixq_rl.agents.cli.output import output
from mixq_rl.agents.progress.log import logged, together
from mixq_rl.agents.quantities import memory, percent, times
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.agents.report.tables import bits_table
from mixq_rl.agents.runs.feasibility import check_limits
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.training.cache import PreparationCache

__all__ = ["allocate"]


@options_of(EvaluatorConfig, without=("objective", "evaluator", "scheme"))
def allocate(
    *,
    policy: options.Policy = None,
    given: Given[EvaluatorConfig],
    preference: Annotated[
        float | None,
        typer.Option(
            help="Weight of the saving, from 0 (the metric alone) to 1 (saving alone).", show_default=str(PREFERENCE)
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="Instead of --preference: greatest drop of the metric below float32 after a short training, in points."
        ),
    ] = None,
    cache: options.Cache = options.CACHE,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Choose bit-widths for a network without a search, from the statistics of the float32 network.

    Example: mixq-rl allocate --dataset CiteSeer --data-root data --preference 0.5

    Example: mixq-rl allocate --dataset CiteSeer --data-root data --max-drop 1
    """
    with output(quiet, as_json) as out:
        config = given.config(evaluator="post-training" if max_drop is None else "fine-tune").pinned()
        check_wish(preference, max_drop)  # before anything is trained
        agent, stage = load_agent(policy), together(logged, out.stage)
        task, network = config.load()
        check_limits(config, task, network, stage)
        evaluator = Ledger(config.prepare(task, network, stage, PreparationCache(cache)))
        with stage("choosing bit-widths", ""):
            chosen = allocate_for(evaluator, agent, preference, max_drop, config.constraints)
            (evaluation,) = evaluator.evaluate([chosen])
        names = [component.name for component in evaluator.components]
        out.show(bits_table(f"{config.network} on {task.name}", names, chosen))
        training = "before any fine-tuning" if max_drop is None else "after a short fine-tuning"
        reference = evaluator.reference.accuracy
        out.say(
            f"{times(evaluation.reduction)} fewer bit operations than float32, {memory(evaluation.size)}; "
            f"validation {task.measure.title} {percent(evaluation.accuracy)} {training}, of float32 "
            f"{percent(reference)}"
        )
        if max_drop is not None and evaluation.accuracy < reference - max_drop / 100:
            out.say(f"no allocation was found that keeps {max_drop:g} points")
        out.conclude(
            {
                "allocation": dict(zip(names, chosen, strict=True)),
                "reduction": evaluation.reduction,
                "size": evaluation.size,
                "metric": task.metric,
                "validation_accuracy": evaluation.accuracy,
                "float32_validation_accuracy": reference,
                "fine_tuned": max_drop is not None,
            }
        )
