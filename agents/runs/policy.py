"""Run that trains one policy on several tasks."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mixq_rl.agents.monitoring import TasksMonitor
from mixq_rl.agents.ppo.agent import PPOAgent
from mixq_rl.agents.records.confirmation import confirmed_models
from mixq_rl.agents.records.data_root import confirmed
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig, Stage, silent
from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.policy_record import LearnedTask, load_tasks
from mixq_rl.agents.records.prepared_evaluator import PreparedEvaluator
from mixq_rl.agents.records.workers_config import WorkersConfig
from mixq_rl.agents.runs.context import RunContext
from mixq_rl.agents.runs.resumable_search import ResumableSearch
from mixq_rl.envs import BitAllocationEnv
from mixq_rl.errors import InputError
from mixq_rl.evaluation.protocol import Evaluation
from mixq_rl.training.cache import PreparationCache

__all__ = ["PolicyPlan", "resume_policy", "train_policy"]

_KIND = "policy"
_SEARCH = "ppo, several tasks"
_WATCHED = "watched"


@dataclass(frozen=True)
class PolicyPlan:
    """Tasks that a policy learns on, and how long.

    Attributes:
        tasks: distinct configurations, whose bit-widths may differ. Dictionaries, as read from JSON, are converted.
        episodes: number of episodes of each task, at least 1; each evaluates a new allocation.
        seed: seed of the policy and its exploration.

    Raises:
        InputError: for no tasks, a task that is given twice, or less than one episode.
    """

    tasks: tuple[EvaluatorConfig, ...]
    episodes: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        tasks = (task if isinstance(task, EvaluatorConfig) else EvaluatorConfig(**task) for task in self.tasks)
        object.__setattr__(self, "tasks", tuple(tasks))
        if not self.tasks:
            raise InputError("a policy learns on tasks: at least one is needed")
        if len({task.seen_from(Path.cwd()) for task in self.tasks}) < len(self.tasks):
            raise InputError("a task is named twice: name each dataset, model, depth and set of bit-widths once")
        for task in self.tasks:
            if task.constrained:
                raise InputError(
                    f"{task.constrained}: a policy for several tasks learns without constraints; give them to mixq-rl "
                    "transfer or mixq-rl allocate"
                )
        if self.episodes < 1:
            raise InputError(f"{self.episodes} episodes: at least 1 is needed")


def train_policy(
    plan: PolicyPlan,
    run_dir: Path,
    stage: Stage = silent,
    cache: PreparationCache | None = None,
    *,
    workers: WorkersConfig = WorkersConfig(),
) -> list[LearnedTask]:
    """Train one policy on all tasks of a plan, write the run folder, and return what was reached on each task.

    The folder holds ``config.json``, ``log.txt``, ``evaluations.sqlite``, ``result.json``, ``policy/`` and
    TensorBoard's events, those of each task in a folder below ``tasks/``. Until the run has ended the folder also holds
    ``checkpoints/``, from which :func:`resume_policy` continues.

    Args:
        plan: plan of the run.
        run_dir: run folder, new or empty.
        stage: reports each long stage.
        cache: cache of prepared networks; None: everything is trained.
        workers: workers that evaluate what the agent requests.

    Raises:
        InputError: if the run folder is in use or not empty, or a dataset cannot be loaded.
        OSError: if a file cannot be written. The run can be resumed afterwards.
    """
    plan = replace(plan, tasks=tuple(config.pinned() for config in plan.tasks))
    # All are loaded here, so that an error in any task is reported before the first is trained.
    loaded = (config.load()[0] for config in plan.tasks)
    notes = dict.fromkeys(f"{task.name}: {note}" for task in loaded for note in task.notes)
    folder = RunFolder.create(run_dir, _KIND, plan, notes=[*notes])
    with RunContext.of(folder, stage, cache, workers) as run:
        return _carry_out(run, plan)


def resume_policy(
    run_dir: Path,
    stage: Stage = silent,
    cache: PreparationCache | None = None,
    *,
    data_root: str | None = None,
    models: Sequence[str] = (),
    weights: str | None = None,
    workers: WorkersConfig = WorkersConfig(),
) -> list[LearnedTask]:
    """Resume an interrupted run, with the same results as without the interruption, and return what was reached.

    If the run has ended, its stored results are returned.

    Args:
        run_dir: run folder of :func:`train_policy`.
        stage, cache, workers: as in :func:`train_policy`.
        data_root: folder of the datasets' files; None: that of the run.
        models, weights: the models' files and their weights, if the run has such models, as in
            :func:`~mixq_rl.agents.records.confirmation.confirmed_models`.

    Raises:
        InputError: if the folder belongs to a run of another kind, or is in use, or names a folder of the datasets'
            files that the user did not name (:func:`~mixq_rl.agents.records.data_root.confirmed`), or a model's file
            or weights; if these have changed; and as in :func:`train_policy`.
        ArtifactError: if the folder has another format version, or the networks prepared now differ from those of the
            checkpoints.
        OSError: as in :func:`train_policy`.
    """
    folder = RunFolder.open(run_dir, _KIND)
    with RunContext.of(folder, stage, cache, workers) as run:
        if folder.result.exists():
            return load_tasks(folder.result)
        plan = folder.restore(PolicyPlan)
        named = confirmed_models(plan.tasks, folder.path, models, weights)
        tasks = [confirmed(config.seen_from(folder.directory), folder.path, data_root) for config in named]
        return _carry_out(run, replace(plan, tasks=tuple(tasks)))


def _carry_out(run: RunContext, plan: PolicyPlan) -> list[LearnedTask]:
    """Carry out the remaining phases, one after another."""
    all_prepared = _prepare(run, plan)
    resumable = ResumableSearch(run.folder.checkpoints, [prepared.fingerprint for prepared in all_prepared])
    agent, searched = _learn(run, plan, all_prepared, resumable)
    reached = [
        LearnedTask.of(prepared.description, evaluations, prepared.ledger().attempt(agent.sweep(prepared.evaluator)))
        for prepared, evaluations in zip(all_prepared, searched, strict=True)
    ]
    agent.record = agent.record.with_tasks(reached)
    run.save_policy(agent, run.folder.policy)
    run.end(json.dumps([asdict(task) for task in reached], indent=2))
    return reached


def _prepare(run: RunContext, plan: PolicyPlan) -> list[PreparedEvaluator]:
    """Prepare the networks of all tasks, under distinct titles."""
    all_prepared: list[PreparedEvaluator] = []
    for config in plan.tasks:
        task, model = config.load()
        title = plain = config.title(task.name)
        number = 1
        while title in [prepared.title for prepared in all_prepared]:  # files with one name in several folders
            number += 1
            title = f"{plain} ({number})"
        all_prepared.append(run.prepare(config, task, model, title=title))
    return all_prepared


def _learn(
    run: RunContext, plan: PolicyPlan, all_prepared: Sequence[PreparedEvaluator], resumable: ResumableSearch
) -> tuple[PPOAgent, list[list[Evaluation]]]:
    """Let one agent learn on all tasks, and return it with the evaluations of each task."""
    with (
        run.stage("learning on all tasks", "episodes") as progress,
        TasksMonitor(
            run.folder.path,
            all_prepared,
            [asdict(config) for config in plan.tasks],
            search=_SEARCH,
            seed=plan.seed,
            episodes=plan.episodes,
            step=resumable.step,
            state=resumable.saved(_WATCHED),
            share=run.share,
            progress=progress,
        ) as watched,
    ):
        envs = [BitAllocationEnv(evaluator) for evaluator in watched.evaluators]
        agent = PPOAgent(envs, seed=plan.seed, reference_accuracy=[prepared.majority for prepared in all_prepared])
        resumable.learn(
            agent,
            plan.episodes,
            {_WATCHED: watched},
            step=lambda: watched.episodes,
            watcher=watched,
            logger=watched.writer.logger,
        )
        watched.finish()
        agent.clone_best()
    return agent, [list(env.evaluator.evaluations.values()) for env in envs]
