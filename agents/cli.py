"""The command ``mixq-rl``."""

import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from typer.exceptions import TyperException

from mixq_rl.agents import options
from mixq_rl.agents.allocation import PREFERENCE, allocate_for, check_wish, load_agent
from mixq_rl.agents.comparison import Trace, compare_runs, comparison_figure, comparison_table
from mixq_rl.agents.policy_run import PolicyPlan, train_policy
from mixq_rl.agents.problem_config import ProblemConfig
from mixq_rl.agents.proposals import SWEEP
from mixq_rl.agents.run_config import RunConfig
from mixq_rl.agents.search_run import SearchPlan, run_searches
from mixq_rl.agents.searches import searches
from mixq_rl.agents.stages import Stages
from mixq_rl.agents.tables import allocation_table, bits_table, final_table, policy_table
from mixq_rl.agents.training_run import train
from mixq_rl.errors import InputError
from mixq_rl.evaluation import CachedEvaluator
from mixq_rl.objective import Objective
from mixq_rl.preparation_cache import PreparationCache
from mixq_rl.version import __version__

__all__ = ["app", "main"]

_USAGE, _FAILURE, _INTERRUPTED = 2, 1, 130
_PLAIN_WIDTH = 120
_BITS = ",".join(str(width) for width in ProblemConfig.bits)
_PPO, _DATASETS, _MODELS, _BITS_LIST = ["ppo"], [ProblemConfig.dataset], [ProblemConfig.model], [_BITS]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mixq-rl {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find how many bits each component of a graph neural network needs, and get a network that runs on integers."""


@app.command("train")
def _train(
    dataset: options.Datasets = _DATASETS,
    fold: options.Fold = RunConfig.fold,
    model: options.Models = _MODELS,
    layers: options.LayersList = None,
    hidden_channels: options.HiddenChannels = RunConfig.hidden_channels,
    episodes: Annotated[
        int, typer.Option(help="Episodes of the search; each evaluates an allocation not evaluated before.")
    ] = RunConfig.episodes,
    bits: options.BitsList = _BITS_LIST,
    max_drop: Annotated[
        float | None,
        typer.Option(help="Save as much as possible at most so many points below float32's accuracy: 0.3."),
    ] = RunConfig.max_drop,
    max_bitops: Annotated[
        float | None,
        typer.Option(help="Be as accurate as possible with at most so many bit operations (linear): 1.2e9."),
    ] = RunConfig.max_bitops,
    max_reduction: Annotated[
        float | None,
        typer.Option(help="As --max-bitops, given by how many times fewer than float32's they are to be: 12."),
    ] = RunConfig.max_reduction,
    objective: options.ObjectiveName = RunConfig.objective.value,
    evaluator: options.EvaluatorName = RunConfig.evaluator,
    scheme: options.SchemeName = RunConfig.scheme,
    seed: options.Seed = RunConfig.seed,
    data_root: options.DataRoot = RunConfig.data_root,
    cache: options.Cache = options.CACHE,
    run_dir: options.RunDir = None,
) -> None:
    """Train an agent on one dataset, and execute, fine-tune and measure what it finds; or one policy on several.

    Several datasets, models, depths or sets of bit-widths make as many tasks as there are combinations. One policy
    learns on all of them, for mixq-rl transfer and mixq-rl allocate to use elsewhere; no network is fine-tuned.

    Example: mixq-rl train --dataset Cora --data-root data --episodes 1000 --bits 2,4,8 --seed 0

    Example: mixq-rl train --dataset citation --dataset Cora --model gcn --model sage --data-root data
    """
    depths: list[int | None] = [*layers] if layers else [None]
    configs = [
        RunConfig(
            dataset=one_dataset,
            fold=fold,
            model=one_model,
            num_layers=one_depth,
            hidden_channels=hidden_channels,
            episodes=episodes,
            bits=options.parse_bits(one_set),
            max_drop=max_drop,
            max_bitops=max_bitops,
            max_reduction=max_reduction,
            objective=Objective(objective),
            evaluator=evaluator,
            scheme=scheme,
            seed=seed,
            data_root=data_root,
        )
        for one_dataset, one_model, one_depth, one_set in product(dataset, model, depths, bits)
    ]
    if len(configs) == 1:
        _run(configs[0], run_dir, cache)
    else:
        _learn(configs, run_dir, cache)


@app.command("transfer")
def _transfer(
    policy: options.Policy = None,
    dataset: options.Dataset = RunConfig.dataset,
    fold: options.Fold = RunConfig.fold,
    model: options.Model = RunConfig.model,
    layers: options.Layers = RunConfig.num_layers,
    hidden_channels: options.HiddenChannels = RunConfig.hidden_channels,
    episodes: Annotated[
        int,
        typer.Option(help="Allocations to evaluate: the first 16 are the policy's; with more it goes on learning."),
    ] = SWEEP,
    bits: options.Bits = _BITS,
    evaluator: options.EvaluatorName = RunConfig.evaluator,
    scheme: options.SchemeName = RunConfig.scheme,
    seed: options.Seed = RunConfig.seed,
    data_root: options.DataRoot = RunConfig.data_root,
    cache: options.Cache = options.CACHE,
    run_dir: options.RunDir = None,
) -> None:
    """Use a policy that learned elsewhere on a dataset it has never seen; the results are those of mixq-rl train.

    Example: mixq-rl transfer --policy runs/mine --dataset CiteSeer --data-root data

    Example: mixq-rl transfer --dataset CiteSeer --data-root data --episodes 64
    """
    config = RunConfig(
        dataset=dataset,
        fold=fold,
        model=model,
        num_layers=layers,
        hidden_channels=hidden_channels,
        episodes=episodes,
        bits=options.parse_bits(bits),
        evaluator=evaluator,
        scheme=scheme,
        seed=seed,
        data_root=data_root,
        policy="" if policy is None else str(policy),
    )
    _run(config, run_dir, cache)


@app.command("allocate")
def _allocate(
    policy: options.Policy = None,
    dataset: options.Dataset = ProblemConfig.dataset,
    fold: options.Fold = ProblemConfig.fold,
    model: options.Model = ProblemConfig.model,
    layers: options.Layers = ProblemConfig.num_layers,
    hidden_channels: options.HiddenChannels = ProblemConfig.hidden_channels,
    preference: Annotated[
        float | None,
        typer.Option(help="From 0, accuracy alone, to 1, saving alone.", show_default=str(PREFERENCE)),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(help="Or: points of accuracy below float32 that are tolerated after a short training: 1."),
    ] = None,
    bits: options.Bits = _BITS,
    seed: options.Seed = ProblemConfig.seed,
    data_root: options.DataRoot = ProblemConfig.data_root,
    cache: options.Cache = options.CACHE,
) -> None:
    """Name bit-widths for a network at once: no search, no supernet, only the statistics of the float32 network.

    Example: mixq-rl allocate --dataset CiteSeer --data-root data --preference 0.5

    Example: mixq-rl allocate --dataset CiteSeer --data-root data --max-drop 1
    """
    console = _console()
    config = ProblemConfig(
        dataset=dataset,
        fold=fold,
        model=model,
        num_layers=layers,
        hidden_channels=hidden_channels,
        bits=options.parse_bits(bits),
        evaluator="post-training" if max_drop is None else "fine-tune",
        seed=seed,
        data_root=data_root,
    )
    check_wish(preference, max_drop)  # what is wrong with it is said before anything is trained
    agent = load_agent(policy)
    stages = Stages(console)
    task, network = config.load()
    evaluator = CachedEvaluator(config.prepare(task, network, stages, PreparationCache(cache)))
    with stages("choosing bit-widths", ""):
        chosen = allocate_for(evaluator, agent, preference, max_drop)
        (evaluation,) = evaluator.evaluate([chosen])
    names = [component.name for component in evaluator.components]
    console.print(bits_table(f"{config.model} on {task.name}", names, chosen))
    training = "before any fine-tuning" if max_drop is None else "after a short fine-tuning"
    console.print(
        f"{evaluation.reduction:.1f}× fewer bit operations than float32; validation accuracy "
        f"{100 * evaluation.accuracy:.1f} % {training}, of float32 {100 * evaluator.reference.accuracy:.1f} %",
        soft_wrap=True,
        highlight=False,
    )
    if max_drop is not None and evaluation.accuracy < evaluator.reference.accuracy - max_drop / 100:
        console.print(f"no allocation was found that keeps {max_drop:g} points", soft_wrap=True, highlight=False)


def _learn(configs: Sequence[RunConfig], run_dir: Path | None, cache: Path) -> None:
    """Train one policy on several tasks."""
    for name in ("max_drop", "max_bitops", "max_reduction"):
        if getattr(configs[0], name) is not None:
            raise InputError(f"{name}: a policy for several tasks learns the trade-off, without a limit")
    if configs[0].objective is not Objective.BITOPS:
        raise InputError("objective latency: a policy for several tasks learns to save bit operations")
    names = [field.name for field in fields(ProblemConfig)]
    tasks = tuple(ProblemConfig(**{name: getattr(config, name) for name in names}) for config in configs)
    plan = PolicyPlan(tasks, configs[0].episodes, configs[0].seed)
    console = _console()
    folder = run_dir or Path("runs") / f"policy-{len(tasks)}-tasks-seed{plan.seed}-{_now()}"
    where = f"run folder: {folder}\nto watch the search: {_tensorboard()} --logdir {folder}"
    reached = train_policy(plan, folder, Stages(console, where), PreparationCache(cache))
    console.print(policy_table(reached))
    console.print(where, soft_wrap=True, highlight=False, markup=False)


def _run(config: RunConfig, run_dir: Path | None, cache: Path) -> None:
    """Carry out one run and print what it found."""
    console = _console()
    folder = run_dir or _default_run_dir(config)
    where = f"run folder: {folder}\nto watch the search: {_tensorboard()} --logdir {folder}"
    result = train(config, folder, Stages(console, where), PreparationCache(cache))
    reward = config.reward(result.finalists[0].evaluation)
    console.print(final_table(result.finalists, result.best, reward))
    console.print(allocation_table(result.components, result.best))
    console.print(
        f"{result.evaluations} allocations executed on integers, hypervolume {result.hypervolume:.4f}\n{where}",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )


@app.command("search")
def _search(
    algorithm: Annotated[list[str], typer.Option(help=f"{', '.join(searches)}; may be given several times.")] = _PPO,
    evaluations: Annotated[
        int, typer.Option(help="Budget of each search: distinct allocations evaluated.")
    ] = SearchPlan.evaluations,
    seeds: Annotated[int, typer.Option(help="Runs of each search, with seeds 0, 1, ...")] = SearchPlan.seeds,
    dataset: options.Dataset = ProblemConfig.dataset,
    fold: options.Fold = ProblemConfig.fold,
    model: options.Model = ProblemConfig.model,
    layers: options.Layers = ProblemConfig.num_layers,
    hidden_channels: options.HiddenChannels = ProblemConfig.hidden_channels,
    bits: options.Bits = _BITS,
    evaluator: options.EvaluatorName = ProblemConfig.evaluator,
    scheme: options.SchemeName = ProblemConfig.scheme,
    seed: Annotated[int, typer.Option(help="Of weights and training; searches have their own.")] = ProblemConfig.seed,
    data_root: options.DataRoot = ProblemConfig.data_root,
    cache: options.Cache = options.CACHE,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results: new, empty, or of the same configuration.",
            show_default="runs/<dataset>-<model>-seed<seed>-<time>",
        ),
    ] = None,
) -> None:
    """Search one network's allocations by one algorithm or several, which share all evaluations, and compare them.

    A run folder of the same configuration is gone on with: what its store holds is not evaluated again.

    Example: mixq-rl search --algorithm ppo --algorithm tpe --dataset Cora --data-root data --seeds 3
    """
    console = _console()
    plan = SearchPlan(tuple(algorithm), evaluations, seeds)
    config = ProblemConfig(
        dataset=dataset,
        fold=fold,
        model=model,
        num_layers=layers,
        hidden_channels=hidden_channels,
        bits=options.parse_bits(bits),
        evaluator=evaluator,
        scheme=scheme,
        seed=seed,
        data_root=data_root,
    )
    folder = run_dir or _default_run_dir(config)
    found = run_searches(config, plan, folder, Stages(console, f"run folder: {folder}"), PreparationCache(cache))
    console.print(comparison_table(found, _budgets(found)))
    console.print(f"run folder: {folder}", soft_wrap=True, highlight=False, markup=False)


@app.command("compare")
def _compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of mixq-rl search or train.")],
    budget: Annotated[
        list[int] | None,
        typer.Option(help="Distinct evaluations to compare at; may be given often.", show_default="32, 64, ..."),
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="File for the figure.", show_default="RUN/comparison.png")] = None,
) -> None:
    """Compare searches at equal numbers of distinct evaluations: a table for each problem, and a figure.

    Example: mixq-rl compare runs/Cora-gcn-seed0-20260101-120000
    """
    console = _console()
    wrong = [value for value in budget or [] if value < 1]
    if wrong:
        raise InputError(f"a budget of {wrong[0]} evaluations: at least 1 is needed")
    grouped = list(compare_runs(runs).values())
    for found in grouped:
        console.print(comparison_table(found, sorted(set(budget)) if budget else _budgets(found)))
    path = figure or runs[0] / "comparison.png"
    try:
        comparison_figure(grouped).savefig(path, dpi=150)
    except ValueError as error:
        raise InputError(f"the figure cannot be written to {str(path)!r}: {error}") from error
    console.print(f"figure: {path}", soft_wrap=True, highlight=False, markup=False)


def main() -> None:
    """Run the command; every mistake of the user's is answered with one line and exit code 2."""
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except InputError as error:
        _fail(str(error), _USAGE)
    except (typer.Abort, KeyboardInterrupt):
        _fail("interrupted", _INTERRUPTED)
    except TyperException as error:
        _fail(error.format_message() if isinstance(error, typer.BadParameter) else str(error), _USAGE)
    except OSError as error:
        _fail(str(error), _FAILURE)
    else:
        if code == _INTERRUPTED:
            _fail("interrupted", _INTERRUPTED)
        sys.exit(code or 0)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"mixq-rl: {' '.join(message.split())}", err=True)
    sys.exit(code)


def _budgets(found: Sequence[Trace]) -> list[int]:
    """Return 32, 64, 128, ... as far as any search went, and how far that was."""
    longest = max(len(trace.evaluations) for trace in found)
    return [*(budget for budget in (32 << step for step in range(16)) if budget < longest), longest]


def _default_run_dir(config: ProblemConfig) -> Path:
    dataset = Path(config.dataset).stem.replace(":", "-")  # of tu:NAME, which not every file system takes
    name = f"{dataset}-{config.model}-seed{config.seed}-{_now()}"
    return Path("runs") / name


def _now() -> str:
    return f"{datetime.now():%Y%m%d-%H%M%S}"


def _tensorboard() -> str:
    beside = Path(sys.executable).with_name("tensorboard")
    if not beside.exists():
        return "tensorboard"
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)


def _console() -> Console:
    # A pipe or a log file has no width of its own: the table must not be cut to 80 columns there.
    return Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)
