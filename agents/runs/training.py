"""One run from graph to shipped network: train, search, fine-tune, measure, write the run folder; stop, and go on."""

import io
import math
import shutil
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path

from mixq_rl.agents.allocation import load_agent
from mixq_rl.agents.monitoring import RunWriter, TimeShare, show_result, watch
from mixq_rl.agents.pareto import pareto_front, spread
from mixq_rl.agents.ppo.agent import PPOAgent, PPOSettings
from mixq_rl.agents.ppo.proposals import SWEEP
from mixq_rl.agents.progress.log import log_into, logged, logger, together
from mixq_rl.agents.records.component_costs import component_costs
from mixq_rl.agents.records.config import RunConfig
from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.policy_record import LearnedTask
from mixq_rl.agents.records.problem import Stage, silent
from mixq_rl.agents.records.result import RunResult, shares_of
from mixq_rl.agents.records.stored_problem import StoredProblem, opened
from mixq_rl.agents.report import report_page
from mixq_rl.agents.report.pareto_points import ParetoPoints
from mixq_rl.agents.report.plots import pareto_figure
from mixq_rl.agents.report.tables import write_csv
from mixq_rl.agents.runs.finalists import best_finalist, choice, fine_tune_finalists, measure_finalists
from mixq_rl.agents.runs.resumable_search import ResumableSearch
from mixq_rl.agents.searches import BudgetedEvaluator
from mixq_rl.datasets import GraphTask
from mixq_rl.envs import BitAllocationEnv, TradeOff
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.integer.model import IntegerModel
from mixq_rl.nn import QuantizableModel
from mixq_rl.storage.files import replace_file, replacing_folder
from mixq_rl.training.cache import PreparationCache
from mixq_rl.training.loop import Progress

__all__ = ["resume_training", "train"]

_MAX_FINALISTS = 12
_START = "start"


def train(config: RunConfig, run_dir: Path, stage: Stage = silent, cache: PreparationCache | None = None) -> RunResult:
    """Carry out a run and write its folder.

    The folder holds ``config.json``, ``log.txt``, ``evaluations.sqlite``, ``allocations.csv``, ``result.json``,
    ``policy/``, ``finalists/``, ``model/`` (the best integer model), ``pareto.png``, ``report.html`` and TensorBoard's
    events; where the run began with a policy, that as ``start/``. While the run lasts it holds ``checkpoints/`` too,
    from which :func:`resume_training` goes on.

    Args:
        config: of the run.
        run_dir: is created; must not hold anything.
        stage: told of each long stage; what it raises ends the run where nothing is lost.
        cache: of prepared networks.

    Raises:
        InputError: if the run folder is in use, the data are not what they should be, or a limit cannot be kept.
        ArtifactError: if the policy to start from cannot be read.
        OSError: if something cannot be written; the run can go on once it can.
    """
    share = TimeShare()
    start = None if config.policy is None else load_agent(config.policy or None)
    with stage("loading the dataset", ""):
        task, model = config.load()
        folder = RunFolder.create(run_dir, "run", config)
    with folder:
        if start is not None:
            with replacing_folder(folder.path / _START) as draft:
                start.save(draft)
        return _carry_out(config, folder, task, model, start, stage, cache, share)


def resume_training(
    run_dir: Path, stage: Stage = silent, cache: PreparationCache | None = None, *, data_root: str | None = None
) -> RunResult:
    """Go on with a run that ended before its end, by whatever cause, as if it had not; of one that has, say the result.

    Args:
        run_dir: of :func:`train`.
        stage, cache: as of :func:`train`.
        data_root: where the dataset's files lie now; None: where they did.

    Raises:
        InputError: if the folder is not of such a run, or in use; and as of :func:`train`.
        ArtifactError: if the folder is of another format version, or the network, trained again, is another one.
        OSError: as of :func:`train`.
    """
    share = TimeShare()
    with RunFolder.open(run_dir, "run") as folder:
        if folder.result.exists():
            return RunResult.load(folder.result)
        config = folder.restore(RunConfig).seen_from(folder.directory)
        config = config if data_root is None else replace(config, data_root=data_root)
        start = None
        if config.policy is not None:
            kept = folder.path / _START
            start = PPOAgent.load(kept) if kept.is_dir() else load_agent(config.policy or None)
        with stage("loading the dataset", ""):
            task, model = config.load()
        return _carry_out(config, folder, task, model, start, stage, cache, share)


def _carry_out(
    config: RunConfig,
    folder: RunFolder,
    task: GraphTask,
    model: QuantizableModel,
    start: PPOAgent | None,
    stage: Stage,
    cache: PreparationCache | None,
    share: TimeShare,
) -> RunResult:
    """Do what of a run is not done yet."""
    with log_into(folder.log), opened(folder.evaluations) as store, ExitStack() as stack:
        stage = together(logged, stage)
        problem = StoredProblem.prepare(config, task, model, store, stage, cache)
        resumable = ResumableSearch(folder.checkpoints, [problem.stored.fingerprint])
        writer = stack.enter_context(closing(RunWriter(folder.path, step=resumable.step)))
        with stage("searching", "episodes") as progress:
            search = _Search(config, resumable, problem, start, writer, share, progress)
            search.carry_out()
        search.agent.record = search.agent.record.with_tasks([LearnedTask.of(problem.description, search.evaluations)])
        with replacing_folder(folder.policy) as draft:
            search.agent.save(draft)
        with stage("fine-tuning", "epochs") as progress:
            tuned = fine_tune_finalists(
                problem.evaluator,
                _candidates(config, search),
                seed=config.seed,
                folder=folder.finalists,
                progress=progress,
            )
        with stage("measuring", "networks") as progress:
            finalists = measure_finalists(problem.evaluator, model, tuned, progress=progress)
        float32, *quantized = finalists
        best = best_finalist(quantized, float32.evaluation, search.reward)
        network = dict(tuned)[best.label]
        result = RunResult(
            title=problem.title,
            kind=task.kind,
            objective=config.objective,
            choice=choice(search.reward),
            finalists=tuple(finalists),
            best=best,
            components=tuple(component.name for component in problem.evaluator.components),
            shares=shares_of(
                problem.evaluator.components, network.allocation, component_costs(problem.evaluator, network)
            ),
            hypervolume=search.monitor.archive.hypervolume,
            evaluations=len(search.evaluations),
            counts={split: int(mask.sum()) for split, mask in task.masks.items()},
            majority=problem.majority,
            run_dir=folder.path,
        )
        _write(result, search, network, folder, writer)
        logger.info("%s is the best; %d allocations executed on integers", best.label, result.evaluations)
        return result


class _Search:
    """The agent at work on a run's problem, from the last checkpoint if there is one."""

    def __init__(
        self,
        config: RunConfig,
        resumable: ResumableSearch,
        problem: StoredProblem,
        start: PPOAgent | None,
        writer: RunWriter,
        share: TimeShare,
        progress: Progress,
    ) -> None:
        self._config = config
        self._resumable = resumable
        self.reward = config.reward(problem.stored.reference)
        name = "ppo" if self.reward == TradeOff() else f"ppo, {self.reward}"
        self._budgeted = BudgetedEvaluator(
            problem.stored, watcher=lambda made: problem.request(name, config.seed, [e.allocation for e in made])
        )
        self.monitor = watch(
            problem,
            self._budgeted,
            writer=writer,
            search=name,
            seed=config.seed,
            episodes=config.episodes,
            reward=self.reward,
            settings=asdict(config),
            share=share,
            progress=progress,
        )
        # Told of each evaluation, so that a run can be ended between two of them.
        problem.stored.watcher = lambda evaluation: progress(self.monitor.episodes, config.episodes)
        self.agent = PPOAgent(
            BitAllocationEnv(self._budgeted, reward=self.reward),
            seed=config.seed,
            settings=PPOSettings(rollouts=0) if start and config.episodes <= SWEEP else PPOSettings(),
            reference_accuracy=problem.majority,
            start=start,
        )

    def carry_out(self) -> None:
        """Search until all episodes are played."""
        self._resumable.learn(
            self.agent,
            self._config.episodes,
            {"monitor": self.monitor},
            step=lambda: self.monitor.episodes,
            watcher=self.monitor,
            logger=self.monitor.writer.logger,
        )
        self.monitor.finish()

    @property
    def evaluations(self) -> list[Evaluation]:
        """All that were asked for, in their order."""
        return list(self._budgeted.evaluations.values())

    @property
    def allowed(self) -> list[Evaluation]:
        """Those that keep the limit on bit operations, if there is one."""
        limit = math.inf if self.reward.max_bitops is None else self.reward.max_bitops
        return [evaluation for evaluation in self.evaluations if evaluation.bitops <= limit]


def _candidates(config: RunConfig, search: _Search) -> list[tuple[str, tuple[int, ...]]]:
    """Return the labelled allocations that are fine-tuned: the uniform ones, then the front's others."""
    archive = search.monitor.archive
    front = pareto_front(search.allowed, archive.saving)
    count = len(front[0].allocation)
    uniform = [(f"uniform {bits}", (bits,) * count) for bits in reversed(config.bits)]
    mixed = [point for point in front if len(set(point.allocation)) > 1]
    points = spread(mixed, _MAX_FINALISTS, archive.reference_accuracy, archive.saving)
    return uniform + [(f"agent {index}", point.allocation) for index, point in enumerate(points, start=1)]


def _write(result: RunResult, search: _Search, network: IntegerModel, folder: RunFolder, writer: RunWriter) -> None:
    """Write what the run found; the result last, since where it is the run has ended."""
    with replacing_folder(folder.model) as draft:
        network.save(draft)
    write_csv(folder.path / "allocations.csv", result.finalists, result.best, result.components, result.objective)
    figure = pareto_figure(
        ParetoPoints.of(result, search.evaluations),
        title=f"{result.title}, {result.evaluations} allocations executed on integers",
    )
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    replace_file(folder.path / "pareto.png", picture.getvalue())
    show_result(writer, result, figure, step=search.monitor.episodes)
    replace_file(folder.report, report_page(result, search.evaluations, folder))
    result.save(folder.result)
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
