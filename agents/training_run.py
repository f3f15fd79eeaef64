"""One run from graph to shipped network: train, search, fine-tune, measure, write the run folder."""

import json
import math
import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Figure as LoggedFigure
from stable_baselines3.common.logger import Logger, configure

from mixq_rl.agents.callbacks import SearchMonitor
from mixq_rl.agents.finalists import Finalist, best_finalist, fine_tune_finalists, measure_finalists, spread
from mixq_rl.agents.pareto import ParetoArchive
from mixq_rl.agents.plots import pareto_figure
from mixq_rl.agents.ppo import EPISODES_PER_UPDATE, PPOAgent
from mixq_rl.agents.tables import write_csv
from mixq_rl.datasets import load_task
from mixq_rl.envs import BitAllocationEnv, TradeOff
from mixq_rl.errors import InputError
from mixq_rl.evaluation import CachedEvaluator
from mixq_rl.evaluators import evaluators
from mixq_rl.nn import build_model, models
from mixq_rl.objective import Objective
from mixq_rl.quantization import check_bit_widths, schemes
from mixq_rl.training import Progress, fit

__all__ = ["RunConfig", "RunResult", "Stage", "train"]

Stage = Callable[[str, str], AbstractContextManager[Progress]]
"""Called with what a stage does and the unit it counts; gives what is to be told of its progress, if it counts."""

_MAX_ENVS = 8
_MAX_FINALISTS = 12
_TIMING_REPEATS = {Objective.BITOPS: 1, Objective.LATENCY: 9}
_VERSION = 2
_PACKAGES = ("mixq-rl", "torch", "torch_geometric", "gymnasium", "stable-baselines3", "numpy")


@dataclass(frozen=True)
class RunConfig:
    """What makes a run: two runs of one configuration on one machine are equal, unless time is the objective.

    Attributes:
        dataset: a name of :func:`mixq_rl.load_task`, or a path.
        model: a name of :func:`mixq_rl.build_model`.
        episodes: of the search, at least 1.
        bits: the bit-widths on offer, each within 1...8.
        seed: of weights, training, search and fine-tuning.
        data_root: folder of the datasets' files.
        hidden_channels: width of the hidden layers; None: what is usual for the model and the kind of task.
        num_layers: number of layers; None: what is usual.
        objective: what is saved: bit operations, or measured time.
        fold: which of the dataset's splits, from 0, where it has several; None: the first.
        evaluator: a name of :data:`mixq_rl.evaluators`: whose weights the search judges an allocation by.
        scheme: a name of :data:`mixq_rl.quantization.schemes`: where scales come from.

    Raises:
        InputError: for a value out of bounds, or an unknown model, objective, evaluator or scheme.
    """

    dataset: str = "citation"
    model: str = "gcn"
    episodes: int = 1000
    bits: tuple[int, ...] = (2, 4, 8)
    seed: int = 0
    data_root: str = "data"
    hidden_channels: int | None = None
    num_layers: int | None = None
    objective: Objective = Objective.BITOPS
    fold: int | None = None
    evaluator: str = "supernet"
    scheme: str = "lsq"

    def __post_init__(self) -> None:
        if self.episodes < 1:
            raise InputError(f"{self.episodes} episodes: at least 1 is needed")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed {self.seed} is outside 0...{2**32 - 1}")
        models[self.model], evaluators[self.evaluator], schemes[self.scheme]
        object.__setattr__(self, "bits", check_bit_widths(self.bits))
        object.__setattr__(self, "objective", Objective(self.objective))


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


@contextmanager
def _silent(what: str, unit: str) -> Iterator[Progress]:
    yield lambda done, total: None


def train(config: RunConfig, run_dir: Path, stage: Stage = _silent) -> RunResult:
    """Carry out a run and write its folder.

    The folder holds ``config.json``, ``allocations.csv``, ``policy/``, ``model/`` (the best integer model),
    ``pareto.png`` and TensorBoard's events.

    Args:
        config: of the run.
        run_dir: is created; must not hold anything.
        stage: told of each long stage.

    Raises:
        InputError: if the run folder is in use, or the data are not what they should be.
    """
    with stage("loading the dataset", ""):
        task = load_task(config.dataset, config.data_root, fold=config.fold)
        model = build_model(
            config.model, task, hidden_channels=config.hidden_channels, num_layers=config.num_layers, seed=config.seed
        )
        _claim(run_dir, config)
    with stage("training in float32", "epochs") as progress:
        fit(model, task, seed=config.seed, progress=progress)
    kind = evaluators[config.evaluator]
    with stage(kind.preparation, "epochs") as progress:
        evaluator = kind(
            model,
            task,
            bit_widths=config.bits,
            scheme=schemes[config.scheme],
            seed=config.seed,
            timing_repeats=_TIMING_REPEATS[config.objective],
            progress=progress,
        )
    cached = CachedEvaluator(evaluator)
    saving = partial(config.objective.saving, reference=cached.reference)
    archive = ParetoArchive(task.majority_accuracy("validation"), saving)
    logger = configure(str(run_dir), ["tensorboard"])
    with stage("searching", "episodes") as progress:
        _search(config, cached, archive, logger, progress).save(run_dir / "policy")
    with stage("fine-tuning", "epochs") as progress:
        tuned = fine_tune_finalists(evaluator, _candidates(config, archive), seed=config.seed, progress=progress)
    with stage("measuring", "networks") as progress:
        finalists = measure_finalists(evaluator, model, tuned, progress=progress)
    float32, *quantized = finalists
    result = RunResult(
        finalists=tuple(finalists),
        best=best_finalist(quantized, float32.evaluation, config.objective),
        components=tuple(component.name for component in cached.components),
        hypervolume=archive.hypervolume,
        evaluations=len(cached.store),
        run_dir=run_dir,
    )
    _write(result, cached, logger, f"{config.model} on {task.name}", config)
    return result


def _search(
    config: RunConfig, cached: CachedEvaluator, archive: ParetoArchive, logger: Logger, progress: Progress
) -> PPOAgent:
    envs = make_vec_env(
        BitAllocationEnv,
        n_envs=math.gcd(config.episodes, _MAX_ENVS),
        seed=config.seed,
        env_kwargs={"evaluator": cached, "reward": TradeOff(config.objective)},
    )
    agent = PPOAgent(envs, seed=config.seed, episodes_per_update=min(config.episodes, EPISODES_PER_UPDATE))
    monitor = SearchMonitor(cached, archive, config.episodes, objective=config.objective, progress=progress)
    return agent.learn(config.episodes, callbacks=[monitor], logger=logger)


def _candidates(config: RunConfig, archive: ParetoArchive) -> list[tuple[str, tuple[int, ...]]]:
    """Return the labelled allocations that are fine-tuned: the uniform ones, then the front's others."""
    count = len(archive.front[0].allocation)
    uniform = [(f"uniform {bits}", (bits,) * count) for bits in reversed(config.bits)]
    mixed = [point for point in archive.front if len(set(point.allocation)) > 1]
    points = spread(mixed, _MAX_FINALISTS, archive.reference_accuracy, archive.saving)
    return uniform + [(f"agent {index}", point.allocation) for index, point in enumerate(points, start=1)]


def _write(result: RunResult, cached: CachedEvaluator, logger: Logger, title: str, config: RunConfig) -> None:
    assert result.best.model is not None
    result.best.model.save(result.run_dir / "model")
    write_csv(result.run_dir / "allocations.csv", result.finalists, result.best, result.components, config.objective)
    quantized = [(finalist.label, finalist.evaluation) for finalist in result.finalists if finalist.model is not None]
    figure = pareto_figure(
        cached.store.values(),
        cached.reference,
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
    logger.dump(config.episodes * len(result.components))
    logger.close()


def _claim(run_dir: Path, config: RunConfig) -> None:
    document = {
        "format": "mixq_rl/run",
        "version": _VERSION,
        "config": asdict(config),
        "packages": {name: version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        taken = next(run_dir.iterdir(), None)
        if taken is None:
            # Of two runs that come at once, one finds the file there.
            with (run_dir / "config.json").open("x") as file:
                file.write(json.dumps(document, indent=2) + "\n")
    except FileExistsError:
        taken = run_dir / "config.json" if run_dir.is_dir() else run_dir
    except OSError as error:
        raise InputError(f"run folder {str(run_dir)!r} cannot be written: {error.strerror}") from error
    if taken == run_dir:
        raise InputError(f"run folder {str(run_dir)!r} is a file: name a new or empty folder with --run-dir")
    if taken is not None:
        raise InputError(f"run folder {str(run_dir)!r} holds {taken.name!r}: name a new or empty one with --run-dir")
