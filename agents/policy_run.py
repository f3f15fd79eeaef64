"""A run that trains one policy on several tasks, for use on others."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stable_baselines3.common.logger import Logger, configure

from mixq_rl.agents.pareto import hypervolume
from mixq_rl.agents.policy_record import LearnedTask
from mixq_rl.agents.ppo import PPOAgent
from mixq_rl.agents.problem_config import ProblemConfig, Stage, silent
from mixq_rl.agents.run_folder import EVALUATIONS, claim
from mixq_rl.agents.searches import BudgetedEvaluator
from mixq_rl.agents.stored_problem import StoredProblem
from mixq_rl.envs import BitAllocationEnv
from mixq_rl.errors import InputError
from mixq_rl.evaluation import Evaluation
from mixq_rl.evaluation_store import EvaluationStore
from mixq_rl.preparation_cache import PreparationCache
from mixq_rl.training import Progress

__all__ = ["PolicyPlan", "train_policy"]

_SEARCH = "ppo, several tasks"


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
    problems = [_prepare(config, store, stage, cache) for config in plan.tasks]
    logger = configure(str(run_dir), ["tensorboard"])
    with stage("learning on all tasks", "episodes") as progress:
        watcher = _Watcher(plan, logger, progress)
        envs = [
            BitAllocationEnv(BudgetedEvaluator(problem.stored, watcher=partial(watcher, problem)))
            for problem in problems
        ]
        agent = PPOAgent(envs, seed=plan.seed, reference_accuracy=[problem.majority for problem in problems])
        agent.learn(plan.episodes, logger=logger).rehearse()
    reached = [
        LearnedTask.of(
            problem.description,
            list(env.evaluator.evaluations.values()),
            problem.stored.evaluate(agent.sweep(problem.stored)),
        )
        for problem, env in zip(problems, envs, strict=True)
    ]
    agent.record = agent.record.with_tasks(reached)
    agent.save(run_dir / "policy")
    logger.close()
    store.close()
    return reached


class _Watcher:
    """Keeps who asked for what, and logs ``tasks/<title>/hypervolume``; the step counts the episodes of all tasks."""

    def __init__(self, plan: PolicyPlan, logger: Logger, progress: Progress) -> None:
        self._seed, self._whole = plan.seed, plan.episodes * len(plan.tasks)
        self._logger, self._progress = logger, progress
        self._found: dict[str, list[Evaluation]] = {}

    def __call__(self, problem: StoredProblem, made: Sequence[Evaluation]) -> None:
        problem.request(_SEARCH, self._seed, [evaluation.allocation for evaluation in made])
        found = self._found.setdefault(problem.title, [])
        found.extend(made)
        done = sum(len(evaluations) for evaluations in self._found.values())
        self._logger.record(f"tasks/{problem.title}/hypervolume", hypervolume(found, problem.majority))
        self._logger.dump(done)
        self._progress(done, self._whole)


def _prepare(
    config: ProblemConfig, store: EvaluationStore, stage: Stage, cache: PreparationCache | None
) -> StoredProblem:
    task, model = config.load()
    title = _title(config, task.name)

    def labelled(what: str, unit: str) -> AbstractContextManager[Progress]:
        return stage(f"{title}: {what}", unit)

    return StoredProblem.prepare(config, task, model, store, labelled, cache, title=title)


def _title(config: ProblemConfig, name: str) -> str:
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
