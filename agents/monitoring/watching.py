"""Start of a search's monitoring, and TensorBoard entries for the result of a run."""

from collections.abc import Mapping
from functools import partial

from matplotlib.figure import Figure

from mixq_rl.agents.monitoring.figures import cost_figure
from mixq_rl.agents.monitoring.hyperparameters import begin_session, end_session
from mixq_rl.agents.monitoring.layout import layout
from mixq_rl.agents.monitoring.run_writer import RunWriter
from mixq_rl.agents.monitoring.search_monitor import SearchMonitor
from mixq_rl.agents.monitoring.texts import configuration_text, final_text
from mixq_rl.agents.monitoring.time_share import TimeShare
from mixq_rl.agents.pareto import ParetoArchive
from mixq_rl.agents.records.prepared_evaluator import PreparedEvaluator
from mixq_rl.agents.records.result import RunResult
from mixq_rl.envs import Reward
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.training.loop import Progress

__all__ = ["show_result", "watch"]


def watch(
    prepared: PreparedEvaluator,
    evaluator: Ledger,
    *,
    writer: RunWriter,
    search: str,
    seed: int,
    episodes: int,
    reward: Reward,
    settings: Mapping[str, object],
    share: TimeShare | None = None,
    progress: Progress | None = None,
) -> SearchMonitor:
    """Write the description of a search, and return its monitor.

    Args:
        prepared: the prepared of the search.
        evaluator: the search's evaluator, before its first evaluation.
        writer: of the search's folder. If it ``continues`` a run, the description is already there and is left out.
        search: name of the search in the store.
        seed: of the search.
        episodes: total number of the search.
        reward: of the search.
        settings: settings of the run, by name.
        share: time limit for figures.
        progress: called with (episodes done, total episodes).
    """
    components = [component.name for component in evaluator.components]
    reference = evaluator.reference
    if not writer.continues:
        given = {**settings, "search": search, "search_seed": seed, "episodes": episodes}
        begin_session(writer, {**given, "bits": ",".join(map(str, evaluator.bit_widths))})
        measured = {f"float32 {prepared.metric.title}": reference.accuracy, "float32 BitOPs": reference.bitops}
        found = {"components": components, **measured}
        writer.text("run/configuration", configuration_text({**given, **found}), 0)
        writer.layout(layout(components, prepared.metric))
    return SearchMonitor(
        evaluator,
        ParetoArchive(prepared.majority, partial(reward.objective.saving, reference=reference)),
        episodes,
        reward=reward,
        writer=writer,
        title=prepared.title,
        metric=prepared.metric,
        rivals=partial(prepared.rivals, search, seed),
        costs=prepared.costs,
        share=share,
        progress=progress,
    )


def show_result(writer: RunWriter, result: RunResult, pareto: Figure, *, step: int) -> None:
    """Write the result of a run, and that it has ended.

    Args:
        writer: of the run's folder.
        result: of the run.
        pareto: the final Pareto figure.
        step: number of episodes.
    """
    best, record = result.best, writer.logger.record
    record(f"final/best_{result.metric.name}", best.evaluation.accuracy)
    record(f"final/best_test_{result.metric.name}", best.test_accuracy)
    record("final/best_reduction", best.evaluation.reduction)
    record("final/best_product_reduction", best.evaluation.product_reduction)
    if result.objective.column is not None:
        name = f"final/best_{result.objective.column.saving_field}"
        record(name, result.objective.saving(best.evaluation, result.reference))
    writer.logger.dump(step)
    writer.figure("final/pareto", pareto, step)
    title = f"{result.title}: {best.label}, fine-tuned"
    writer.figure("final/cost", cost_figure(result.shares, title=title), step)
    writer.text("final/table", final_text(result), step)
    end_session(writer)
