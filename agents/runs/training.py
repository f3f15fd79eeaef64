"""Run of ``mixq-rl train``: training, search, fine-tuning and measurement of an integer network."""

import io
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import compress
from pathlib import Path

from mixq_rl.agents.allocation import load_agent
from mixq_rl.agents.monitoring import RunWriter, SearchMonitor, show_result, watch
from mixq_rl.agents.ppo.agent import PPOAgent, PPOSettings
from mixq_rl.agents.ppo.proposals import SWEEP
from mixq_rl.agents.progress.log import logger
from mixq_rl.agents.records.component_costs import component_costs
from mixq_rl.agents.records.confirmation import confirmed_models
from mixq_rl.agents.records.data_root import confirmed
from mixq_rl.agents.records.evaluator_config import Stage, silent
from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.policy_record import LearnedTask
from mixq_rl.agents.records.prepared_evaluator import PreparedEvaluator
from mixq_rl.agents.records.result import Finalist, RunResult, shares_of
from mixq_rl.agents.records.run_config import RunConfig
from mixq_rl.agents.records.workers_config import WorkersConfig
from mixq_rl.agents.report import report_page
from mixq_rl.agents.report.pareto_points import ParetoPoints
from mixq_rl.agents.report.plots import pareto_figure
from mixq_rl.agents.report.tables import write_csv
from mixq_rl.agents.runs.context import RunContext
from mixq_rl.agents.runs.expected_change import choose
from mixq_rl.agents.runs.feasibility import check_limits
from mixq_rl.agents.runs.finalists import (
    choice,
    fine_tune_finalists,
    measure_finalists,
    mixed_finalists,
    uniform_finalists,
)
from mixq_rl.agents.runs.resumable_search import ResumableSearch
from mixq_rl.envs import BitAllocationEnv, Limits, Reward, TradeOff
from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn import QuantizableModel
from mixq_rl.storage.files import replace_file, replacing_folder
from mixq_rl.training.cache import PreparationCache

__all__ = ["resume_training", "train"]


def train(
    config: RunConfig,
    run_dir: Path,
    stage: Stage = silent,
    cache: PreparationCache | None = None,
    *,
    workers: WorkersConfig = WorkersConfig(),
) -> RunResult:
    """Carry out a run, write its folder, and return its result.

    The folder holds ``config.json``, ``log.txt``, ``evaluations.sqlite``, ``allocations.csv``, ``result.json``,
    ``policy/``, ``finalists/``, ``model/`` (the best integer model), ``pareto.png``, ``report.html`` and TensorBoard's
    events. The policy that the search starts from is kept as ``start/``. Until the run has ended the folder holds
    ``checkpoints/`` as well, from which :func:`resume_training` continues.

    Args:
        config: configuration of the run.
        run_dir: run folder, new or empty.
        stage: reports each long stage. An exception that it raises ends the run, which can then be resumed.
        cache: cache of prepared networks; None: everything is trained.
        workers: workers that evaluate what the search requests, and fine-tune the networks of the front.

    Raises:
        InputError: if the run folder is in use or not empty, the dataset cannot be loaded, or a limit cannot be kept.
        ArtifactError: if the policy to start from cannot be read.
        OSError: if a file cannot be written. The run can be resumed afterwards.
    """
    start, config = None if config.from_scratch else load_agent(config.policy or None), config.pinned()
    with stage("loading the dataset", ""):
        task, model = config.load()
    check_limits(config, task, model, stage)
    folder = RunFolder.create(run_dir, "run", config, notes=task.notes)
    with RunContext.of(folder, stage, cache, workers) as run:
        if start is not None:
            run.keep_start(start)
        return _carry_out(run, config, run.prepare(config, task, model), model, start)


def resume_training(
    run_dir: Path,
    stage: Stage = silent,
    cache: PreparationCache | None = None,
    *,
    data_root: str | None = None,
    models: Sequence[str] = (),
    weights: str | None = None,
    workers: WorkersConfig = WorkersConfig(),
) -> RunResult:
    """Resume an interrupted run, with the same result as without the interruption, and return the result.

    If the run has ended, its stored result is returned.

    Args:
        run_dir: run folder of :func:`train`.
        stage, cache, workers: as in :func:`train`.
        data_root: folder of the datasets' files; None: that of the run.
        models, weights: the model's file and its weights, if the run has one, as in
            :func:`~mixq_rl.agents.records.confirmation.confirmed_models`.

    Raises:
        InputError: if the folder belongs to a run of another kind, or is in use, or names a folder of the datasets'
            files that the user did not name (:func:`~mixq_rl.agents.records.data_root.confirmed`), or a model's file
            or weights; if these have changed; and as in :func:`train`.
        ArtifactError: if the folder has another format version, or the network prepared now differs from that of the
            checkpoints.
        OSError: as in :func:`train`.
    """
    folder = RunFolder.open(run_dir, "run")
    with RunContext.of(folder, stage, cache, workers) as run:
        if folder.result.exists():
            return RunResult.load(folder.result)
        (config,) = confirmed_models([folder.restore(RunConfig)], folder.path, models, weights)
        config = confirmed(config.seen_from(folder.directory), folder.path, data_root)
        start = None if config.from_scratch else run.start(config.policy)
        with stage("loading the dataset", ""):
            task, model = config.load()
        return _carry_out(run, config, run.prepare(config, task, model), model, start)


def _carry_out(
    run: RunContext, config: RunConfig, prepared: PreparedEvaluator, model: QuantizableModel, start: PPOAgent | None
) -> RunResult:
    """Carry out the remaining phases, one after another."""
    resumable = ResumableSearch(run.folder.checkpoints, [prepared.fingerprint])
    with closing(RunWriter(run.folder.path, step=resumable.step)) as writer:
        searched = _search(run, config, prepared, start, resumable, writer)
        tuned = _fine_tune(run, config, prepared, searched)
        finalists = _measure(run, prepared, model, tuned)
        result, network = _choose(run, config, prepared, searched, model, finalists, dict(tuned))
        _write(run, result, searched, network, writer)
    logger.info("%s is the best; %d allocations executed on integers", result.best.label, result.evaluations)
    return result


@dataclass(frozen=True)
class _Searched:
    """A finished search of a run."""

    agent: PPOAgent
    reward: Reward
    limits: Limits
    ledger: Ledger
    monitor: SearchMonitor

    @property
    def evaluations(self) -> list[Evaluation]:
        """All evaluations, in the order of the requests."""
        return list(self.ledger.evaluations.values())

    @property
    def allowed(self) -> list[Evaluation]:
        """The evaluations that keep the limits, in the order of the requests."""
        kept = self.limits.keeps([evaluation.allocation for evaluation in self.evaluations])
        return list(filter(self.reward.allows, compress(self.evaluations, kept)))


def _search(
    run: RunContext,
    config: RunConfig,
    prepared: PreparedEvaluator,
    start: PPOAgent | None,
    resumable: ResumableSearch,
    writer: RunWriter,
) -> _Searched:
    """Let the agent search, from the last checkpoint if there is one, and save its policy."""
    reward = config.reward(prepared.evaluator.reference)
    name = ", ".join(["ppo", *([] if reward == TradeOff() else [str(reward)]), *filter(None, [config.constrained])])
    ledger = prepared.ledger((name, config.seed))
    with run.stage("searching", "episodes") as progress:
        monitor = watch(
            prepared,
            ledger,
            writer=writer,
            search=name,
            seed=config.seed,
            episodes=config.episodes,
            reward=reward,
            settings=asdict(config),
            share=run.share,
            progress=progress,
        )
        # Progress is reported after each evaluation, so that a run can be ended between two of them.
        ledger.watch(on_evaluation=lambda evaluation: progress(monitor.episodes, config.episodes))
        env = BitAllocationEnv(ledger, reward=reward, constraints=config.constraints)
        only_proposals = start is not None and config.episodes <= SWEEP
        agent = PPOAgent(
            env,
            seed=config.seed,
            settings=PPOSettings(rollouts=0) if only_proposals else PPOSettings(),
            reference_accuracy=prepared.majority,
            start=start,
        )
        resumable.learn(
            agent,
            config.episodes,
            {"monitor": monitor},
            step=lambda: monitor.episodes,
            watcher=monitor,
            logger=writer.logger,
        )
        monitor.finish()
    searched = _Searched(agent, reward, env.rules.limits, ledger, monitor)
    # From the proposals alone nothing is learned: the run then keeps the policy that made them.
    kept = start if start is not None and only_proposals else agent
    kept.record = kept.record.with_tasks([LearnedTask.of(prepared.description, searched.evaluations)])
    run.save_policy(kept, run.folder.policy)
    return searched


def _fine_tune(
    run: RunContext, config: RunConfig, prepared: PreparedEvaluator, searched: _Searched
) -> list[tuple[str, IntegerModel]]:
    """Fine-tune the uniform allocations, points of the front that are not uniform, and others in its gaps."""
    uniform = uniform_finalists(config.bits, searched.limits)
    points = mixed_finalists(searched.allowed, dict(uniform).values(), searched.monitor.archive)
    labelled = uniform + [(f"agent {index}", point.allocation) for index, point in enumerate(points, start=1)]
    with run.stage("fine-tuning", "epochs" if prepared.workers is None else "networks") as progress:
        return fine_tune_finalists(
            prepared.evaluator,
            labelled,
            seed=config.seed,
            folder=run.folder.finalists,
            progress=progress,
            workers=prepared.workers,
        )


def _measure(
    run: RunContext, prepared: PreparedEvaluator, model: QuantizableModel, tuned: list[tuple[str, IntegerModel]]
) -> list[Finalist]:
    """Execute the float32 network and the fine-tuned networks on the validation and the test split."""
    with run.stage("measuring", "networks") as progress:
        return measure_finalists(prepared.evaluator, model, tuned, progress=progress)


def _choose(
    run: RunContext,
    config: RunConfig,
    prepared: PreparedEvaluator,
    searched: _Searched,
    model: QuantizableModel,
    finalists: list[Finalist],
    networks: dict[str, IntegerModel],
) -> tuple[RunResult, IntegerModel]:
    """Choose the best network, and return the result of the run with that network."""
    float32, *quantized = finalists
    kept = searched.limits.keeps([finalist.evaluation.allocation for finalist in quantized])
    allowed, task = list(compress(quantized, kept)), prepared.evaluator.task
    best, change = choose(prepared.evaluator, model, allowed, networks, float32, searched.reward, seed=config.seed)
    estimated = best.evaluation.estimate is not None
    network, components = networks[best.label], prepared.evaluator.components
    result = RunResult(
        title=prepared.title,
        kind=task.kind,
        objective=config.saved,
        choice=choice(searched.reward, prepared.metric, config.constrained, estimated=estimated),
        finalists=tuple(finalists),
        best=best,
        components=tuple(component.name for component in components),
        shares=shares_of(components, network.allocation, component_costs(prepared.evaluator, network)),
        hypervolume=searched.monitor.archive.hypervolume,
        evaluations=len(searched.evaluations),
        counts={split: int(mask.sum()) for split, mask in task.masks.items()},
        majority=prepared.majority,
        run_dir=run.folder.path,
        metric=prepared.metric,
        change=change,
    )
    return result, network


def _write(run: RunContext, result: RunResult, searched: _Searched, network: IntegerModel, writer: RunWriter) -> None:
    """Write the network, the table, the figure, the report and, last, the result."""
    folder = run.folder
    with replacing_folder(folder.model) as draft:
        network.save(draft)
    table = folder.path / "allocations.csv"
    write_csv(table, result.finalists, result.best, result.components, result.objective, result.metric)
    figure = pareto_figure(
        ParetoPoints.of(result, searched.evaluations),
        title=f"{result.title}, {result.evaluations} allocations executed on integers",
    )
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    replace_file(folder.path / "pareto.png", picture.getvalue())
    show_result(writer, result, figure, step=searched.monitor.episodes)
    replace_file(folder.report, report_page(result, searched.evaluations, folder))
    run.end(result.text())
