"""A run that trains one policy on several tasks, for use on others."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stable_baselines3.common.logger import Logger, configure

from mixq_rl.agents.pareto import hypervolume
from mixq_rl.agents.policy_file import LearnedTask
from mixq_rl.agents.ppo import PPOAgent
from mixq_rl.agents.problem_config import ProblemConfig, Stage, silent
from mixq_rl.agents.run_folder import EVALUATIONS, claim
from mixq_rl.agents.searches import BudgetedEvaluator
from mixq_rl.envs import BitAllocationEnv
from mixq_rl.errors import InputError
from mixq_rl.evaluation import Evaluation
from mixq_rl.evaluation_store import EvaluationStore, Problem, StoredEvaluator
from mixq_rl.preparation_cache import PreparationCache
from mixq_rl.training import Progress

__all__ = ["PolicyPlan", "task_title", "train_policy"]


@dataclass(frozen=True)
class PolicyPlan:
    """What a policy learns on.

    Attributes:
        tasks: distinct; their bit-widths may differ.
        episodes: of each task, at least 1; each evaluates an allocation that was not evaluated before.
        seed: of the policy and its exploration.

    Raises:
        InputError: for no tasks, one named twice, or less than one episode.
    """

    tasks: tuple[ProblemConfig, ...]
    episodes: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.tasks:
            raise InputError("a policy learns on tasks: at least one is needed")
        if len(set(self.tasks)) < len(self.tasks):
            raise InputError("a task is named twice: name each dataset, model, depth and set of bit-widths once")
        if self.episodes < 1:
            raise InputError(f"{self.episodes} episodes: at least 1 is needed")


class _Task:
    """One of the tasks, while the policy learns."""

    def __init__(self, config: ProblemConfig, store: EvaluationStore, stage: Stage, cache: PreparationCache | None):
        loaded, model = config.load()
        evaluator = config.prepare(loaded, model, stage, cache)
        self.title = task_title(config, loaded.name)
        self.seed = config.seed
        self.majority = loaded.majority_accuracy("validation")
        self.problem = Problem.of(evaluator, self.title, self.majority)
        self.stored = StoredEvaluator(evaluator, store)
        store.describe(self.stored.fingerprint, self.problem)


def train_policy(
    plan: PolicyPlan, run_dir: Path, stage: Stage = silent, cache: PreparationCache | None = None
) -> list[LearnedTask]:
    """Train one policy on all tasks of a plan and write its folder.

    The folder holds ``config.json``, ``evaluations.sqlite``, ``policy/`` and TensorBoard's events.

    Args:
        plan: of the run.
        run_dir: is created; must not hold anything.
        stage: told of each long stage.
        cache: of prepared networks.

    Raises:
        InputError: if the run folder is in use, or the data are not what they should be.
    """
    for config in plan.tasks:
        config.load()  # what is wrong with the tenth of them is said before the first is trained
    claim(run_dir, "policy", plan)
    store = EvaluationStore(run_dir / EVALUATIONS)
    tasks = [_Task(config, store, _labelled(stage, config), cache) for config in plan.tasks]
    logger = configure(str(run_dir), ["tensorboard"])
    with stage("learning on all tasks", "episodes") as progress:
        done, whole = Counter[str](), plan.episodes * len(tasks)
        watchers = [_watched(task, done, whole, logger, progress) for task in tasks]
        envs = [
            BitAllocationEnv(BudgetedEvaluator(task.stored, watcher=watcher))
            for task, watcher in zip(tasks, watchers, strict=True)
        ]
        agent = PPOAgent(envs, seed=plan.seed, reference_accuracy=[task.majority for task in tasks])
        agent.learn(plan.episodes, logger=logger).rehearse()
    reached = [
        LearnedTask.of(
            task.problem,
            list(env.evaluator.evaluations.values()),
            task.stored.evaluate(agent.sweep(task.stored)),
        )
        for task, env in zip(tasks, envs, strict=True)
    ]
    agent.record = agent.record.with_tasks(reached)
    agent.save(run_dir / "policy")
    logger.close()
    store.close()
    return reached


def _watched(
    task: _Task, done: Counter[str], whole: int, logger: Logger, progress: Progress
) -> Callable[[Sequence[Evaluation]], None]:
    """Return what is told of a task's evaluations: it logs ``tasks/<title>/hypervolume``; the step is of all tasks."""
    found: list[Evaluation] = []

    def watch(made: Sequence[Evaluation]) -> None:
        asked = [evaluation.allocation for evaluation in made]
        task.stored.store.request(task.stored.fingerprint, "ppo, several tasks", task.seed, asked)
        found.extend(made)
        done[task.title] += len(made)
        logger.record(f"tasks/{task.title}/hypervolume", hypervolume(found, task.majority))
        logger.dump(done.total())
        progress(done.total(), whole)

    return watch


def _labelled(stage: Stage, config: ProblemConfig) -> Stage:
    label = task_title(config, Path(config.dataset).name)
    return lambda what, unit: stage(f"{label}: {what}", unit)


def task_title(config: ProblemConfig, name: str) -> str:
    """Return what tells a task from the others of a run: what departs from the usual is named."""
    unusual = {
        "layers": config.num_layers,
        "wide": config.hidden_channels,
        "bits": None if config.bits == ProblemConfig.bits else ",".join(str(bits) for bits in config.bits),
        "seed": config.seed or None,
    }
    return " ".join(
        [config.model, "on", name, *(f"{key} {value}" for key, value in unusual.items() if value is not None)]
    )
