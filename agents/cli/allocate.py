"""Command ``mixq-rl allocate``: bit-widths for a network, without a search."""

from dataclasses import fields
from typing import Annotated

import typer

from mixq_rl.agents.allocation import PREFERENCE, check_wish, choose, load_agent
from mixq_rl.agents.cli import options
from mixq_rl.agents.cli.fields import Given, options_of
from mixq_rl.agents.cli.output import output
from mixq_rl.agents.progress.log import logged, together
from mixq_rl.agents.quantities import memory, percent, times
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.agents.records.run_config import RunConfig
from mixq_rl.agents.report.tables import bits_table
from mixq_rl.agents.runs.feasibility import check_limits
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
            help="Instead of --preference: greatest drop of the metric below float32 after fine-tuning, in points. "
            "Tries up to four allocations, and says how sure the answer is."
        ),
    ] = None,
    max_reduction: Annotated[
        float | None,
        typer.Option(
            help="Be as accurate as possible with at most float32's bit operations divided by this number: 12. With "
            "--max-drop: save as much as possible within both limits."
        ),
    ] = None,
    cache: options.Cache = options.CACHE,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Choose bit-widths for a network without a search, from the statistics of the float32 network.

    Example: mixq-rl allocate --dataset CiteSeer --data-root data --preference 0.5

    Example: mixq-rl allocate --dataset CiteSeer --data-root data --max-drop 1

    Example: mixq-rl allocate --dataset CiteSeer --data-root data --max-reduction 12
    """
    with output(quiet, as_json) as out:
        config = given.config(evaluator="post-training").pinned()
        check_wish(preference, max_drop, max_reduction)  # before anything is trained
        agent, stage = load_agent(policy), together(logged, out.stage)
        task, network = config.load()
        check_limits(_limited(config, max_reduction), task, network, stage)
        evaluator = config.prepare(task, network, stage, PreparationCache(cache))
        with stage("choosing bit-widths", ""):
            choice = choose(evaluator, network, agent, preference, max_drop, max_reduction, config.constraints)
        chosen, evaluation = choice.allocation, choice.evaluation
        names = [component.name for component in evaluator.components]
        out.show(bits_table(f"{config.network} on {task.name}", names, chosen))
        training = "before any fine-tuning" if max_drop is None else "after a short fine-tuning"
        reference = evaluator.reference.accuracy
        out.say(
            f"{times(evaluation.reduction)} fewer bit operations than float32, {memory(evaluation.size)}; "
            f"validation {task.measure.title} {percent(evaluation.accuracy)} {training}, of float32 "
            f"{percent(reference)}"
        )
        if choice.confidence is not None:
            out.say(
                f"at most {max_drop:g} points below float32 on unseen data with probability {choice.confidence:.2f}, "
                f"after the whole fine-tuning (short fine-tunings: {choice.trainings})"
            )
        if choice.confidence is not None and choice.confidence < 0.5:
            out.say(f"no allocation was found that is likely to keep {max_drop:g} points")
        out.conclude(
            {
                "allocation": dict(zip(names, chosen, strict=True)),
                "reduction": evaluation.reduction,
                "size": evaluation.size,
                "metric": task.metric,
                "validation_accuracy": evaluation.accuracy,
                "float32_validation_accuracy": reference,
                "fine_tuned": max_drop is not None,
                "max_drop": max_drop,
                "max_reduction": max_reduction,
                "confidence": choice.confidence,
                "trainings": choice.trainings,
            }
        )


def _limited(config: EvaluatorConfig, max_reduction: float | None) -> RunConfig:
    """Return the configuration with the limit on bit operations, which a run has as an option."""
    given = {field.name: getattr(config, field.name) for field in fields(EvaluatorConfig)}
    return RunConfig(**given, max_reduction=max_reduction)
