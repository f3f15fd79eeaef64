"""One run from graph to shipped network: train, search, fine-tune, measure, write the run folder."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stable_baselines3.common.logger import Figure as LoggedFigure
from stable_baselines3.common.logger import Logger, configure

from mixq_rl.agents.allocation import load_agent
from mixq_rl.agents.callbacks import SearchMonitor
from mixq_rl.agents.finalists import Finalist, best_finalist, fine_tune_finalists, measure_finalists, spread
from mixq_rl.agents.pareto import ParetoArchive, pareto_front
from mixq_rl.agents.plots import pareto_figure
from mixq_rl.agents.policy_record import LearnedTask
from mixq_rl.agents.ppo import PPOAgent, PPOSettings
from mixq_rl.agents.problem_config import ProblemConfig, Stage, silent
from mixq_rl.agents.proposals import SWEEP
from mixq_rl.agents.run_folder import EVALUATIONS, claim
from mixq_rl.agents.searches import BudgetedEvaluator
from mixq_rl.agents.stored_problem import StoredProblem
from mixq_rl.agents.tables import write_csv
from mixq_rl.envs import BitAllocationEnv, MaxBitOps, MaxDrop, Reward, TradeOff
from mixq_rl.errors import InputError
from mixq_rl.evaluation import CachedEvaluator, Evaluation
from mixq_rl.evaluation_store import EvaluationStore
from mixq_rl.objective import Objective
from mixq_rl.preparation_cache import PreparationCache

__all__ = ["RunConfig", "RunResult", "train"]

_MAX_FINALISTS = 12


@dataclass(frozen=True, kw_only=True)
class RunConfig(ProblemConfig):
    """What makes a run: two runs of one configuration on one machine are equal, unless time is the objective.

    At most one of the limits may be given; without any, the reward is the trade-off at all preferences.

    Attributes:
        episodes: of the search, at least 1; each evaluates an allocation that was not evaluated before.
        max_drop: in points of accuracy below float32 that are tolerated.
        max_bitops: that the network may cost.
        max_reduction: as ``max_bitops``, by how many times fewer than float32.
        policy: folder of a policy to start from, or of the run that trained it; empty: the one that comes with the
            package. It is asked for 16 allocations first, and learns only if more episodes are wanted. None: the agent
            starts from nothing.
        others: see :class:`~mixq_rl.agents.problem_config.ProblemConfig`.

    Raises:
        InputError: for a value out of bounds, two limits, or an unknown model, objective, evaluator or scheme.
    """

    episodes: int = 256
    max_drop: float | None = None
    max_bitops: float | None = None
    max_reduction: float | None = None
    policy: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.episodes < 1:
            raise InputError(f"{self.episodes} episodes: at least 1 is needed")
        given = [name for name in ("max_drop", "max_bitops", "max_reduction") if getattr(self, name) is not None]
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)}: a search has one limit")
        if self.max_drop is not None:
            MaxDrop(self.max_drop / 100)
        if self.max_bitops is not None:
            MaxBitOps(self.max_bitops)
        if self.max_reduction is not None and not self.max_reduction > 0:
            raise InputError(f"a reduction to {self.max_reduction} times fewer bit operations: it must be positive")
        if self.objective is Objective.LATENCY and {"max_bitops", "max_reduction"} & set(given):
            raise InputError("a limit on bit operations and the objective latency: choose one of the two")

    def reward(self, reference: Evaluation) -> Reward:
        """Return the reward that the limits ask for."""
        if self.max_drop is not None:
            return MaxDrop(self.max_drop / 100, self.objective)
        if self.max_bitops is not None:
            return MaxBitOps(self.max_bitops)
        if self.max_reduction is not None:
            return MaxBitOps(reference.bitops / self.max_reduction)
        return TradeOff(self.objective)


@dataclass(frozen=True)
class RunResult:
    """What a run found.

    Attributes:
        finalists: float32, the uniform allocations, then the other points of the agent's front by ascending saving.
        best: the integer network of highest reward at preference 0.5 on validation data.
        components: names, in the order of the allocations.
        hypervolume: of the search's archive: the evaluator's weights, validation data.
        evaluations: distinct allocations evaluated.
        run_dir: the run folder.
    """

    finalists: tuple[Finalist, ...]
    best: Finalist
    components: tuple[str, ...]
    hypervolume: float
    evaluations: int
    run_dir: Path


def train(config: RunConfig, run_dir: Path, stage: Stage = silent, cache: PreparationCache | None = None) -> RunResult:
    """Carry out a run and write its folder.

    The folder holds ``config.json``, ``evaluations.sqlite``, ``allocations.csv``, ``policy/``, ``model/`` (the best
    integer model), ``pareto.png`` and TensorBoard's events.

    Args:
        config: of the run.
        run_dir: is created; must not hold anything.
        stage: told of each long stage.
        cache: of prepared networks.

    Raises:
        InputError: if the run folder is in use, the data are not what they should be, or a limit cannot be kept.
        ArtifactError: if the policy to start from cannot be read.
    """
    start = None if config.policy is None else load_agent(config.policy or None)
    with stage("loading the dataset", ""):
        task, model = config.load()
        claim(run_dir, "run", config)
    store = EvaluationStore(run_dir / EVALUATIONS)
    problem = StoredProblem.prepare(config, task, model, store, stage, cache)
    reward = config.reward(problem.stored.reference)
    archive = ParetoArchive(problem.majority, partial(config.objective.saving, reference=problem.stored.reference))
    logger = configure(str(run_dir), ["tensorboard"])
    name = "ppo" if reward == TradeOff() else f"ppo, {reward}"
    budgeted = BudgetedEvaluator(
        problem.stored, watcher=lambda made: problem.request(name, config.seed, [e.allocation for e in made])
    )
    with stage("searching", "episodes") as progress:
        env = BitAllocationEnv(budgeted, reward=reward)
        settings = PPOSettings(rollouts=0) if start and config.episodes <= SWEEP else PPOSettings()
        agent = PPOAgent(env, seed=config.seed, settings=settings, reference_accuracy=problem.majority, start=start)
        monitor = SearchMonitor(budgeted, archive, config.episodes, reward=reward, logger=logger, progress=progress)
        agent.learn(config.episodes, watcher=monitor, logger=logger)
    agent.record = agent.record.with_tasks([LearnedTask.of(problem.description, list(budgeted.evaluations.values()))])
    agent.save(run_dir / "policy")
    with stage("fine-tuning", "epochs") as progress:
        found = _allowed(budgeted.evaluations.values(), reward)
        candidates = _candidates(config, pareto_front(found, archive.saving), archive)
        tuned = fine_tune_finalists(problem.evaluator, candidates, seed=config.seed, progress=progress)
    with stage("measuring", "networks") as progress:
        finalists = measure_finalists(problem.evaluator, model, tuned, progress=progress)
    float32, *quantized = finalists
    result = RunResult(
        finalists=tuple(finalists),
        best=best_finalist(quantized, float32.evaluation, reward),
        components=tuple(component.name for component in budgeted.components),
        hypervolume=archive.hypervolume,
        evaluations=len(budgeted.evaluations),
        run_dir=run_dir,
    )
    _write(result, budgeted, logger, problem.title, config)
    store.close()
    return result


def _allowed(evaluations: Iterable[Evaluation], reward: Reward) -> list[Evaluation]:
    limit = math.inf if reward.max_bitops is None else reward.max_bitops
    return [evaluation for evaluation in evaluations if evaluation.bitops <= limit]


def _candidates(
    config: RunConfig, front: Sequence[Evaluation], archive: ParetoArchive
) -> list[tuple[str, tuple[int, ...]]]:
    """Return the labelled allocations that are fine-tuned: the uniform ones, then the front's others."""
    count = len(front[0].allocation)
    uniform = [(f"uniform {bits}", (bits,) * count) for bits in reversed(config.bits)]
    mixed = [point for point in front if len(set(point.allocation)) > 1]
    points = spread(mixed, _MAX_FINALISTS, archive.reference_accuracy, archive.saving)
    return uniform + [(f"agent {index}", point.allocation) for index, point in enumerate(points, start=1)]


def _write(result: RunResult, evaluator: CachedEvaluator, logger: Logger, title: str, config: RunConfig) -> None:
    assert result.best.model is not None
    result.best.model.save(result.run_dir / "model")
    write_csv(result.run_dir / "allocations.csv", result.finalists, result.best, result.components, config.objective)
    quantized = [(finalist.label, finalist.evaluation) for finalist in result.finalists if finalist.model is not None]
    figure = pareto_figure(
        evaluator.evaluations.values(),
        evaluator.reference,
        objective=config.objective,
        uniform=[(label, evaluation) for label, evaluation in quantized if len(set(evaluation.allocation)) == 1],
        tuned=[evaluation for _, evaluation in quantized if len(set(evaluation.allocation)) > 1],
        title=f"{title}, {result.evaluations} allocations executed on integers",
    )
    figure.savefig(result.run_dir / "pareto.png", dpi=150)
    logger.record("final/pareto", LoggedFigure(figure, close=False))
    logger.record("final/best_reduction", result.best.evaluation.reduction)
    if config.objective is Objective.LATENCY:
        reference = result.finalists[0].evaluation
        logger.record("final/best_speed_up", config.objective.saving(result.best.evaluation, reference))
    logger.record("final/best_test_accuracy", result.best.test_accuracy)
    logger.dump(result.evaluations)
    logger.close()
