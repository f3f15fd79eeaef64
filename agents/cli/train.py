"""Command ``mixq-rl train``: from a dataset to an integer network, or from several datasets to one policy."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from mixq_rl.agents.cli import options
from mixq_rl.agents.cli.failures import going_on
from mixq_rl.agents.cli.fields import Given, options_of
from mixq_rl.agents.cli.output import Output, output
from mixq_rl.agents.cli.run_choice import default_run_dir, refuse_beside_resume, timed_run_dir, whereabouts
from mixq_rl.agents.progress.interruption import interruptible
from mixq_rl.agents.quantities import area
from mixq_rl.agents.records.confirmation import confirmed_models
from mixq_rl.agents.records.data_root import confirmed, root_option
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.agents.records.folder import RunFolder
from mixq_rl.agents.records.policy_record import LearnedTask
from mixq_rl.agents.records.result import RunResult
from mixq_rl.agents.records.run_config import RunConfig
from mixq_rl.agents.records.user_files import files_option
from mixq_rl.agents.records.workers_config import WorkersConfig
from mixq_rl.agents.report.tables import allocation_table, final_table, headline, policy_table
from mixq_rl.agents.runs.policy import PolicyPlan, resume_policy, train_policy
from mixq_rl.agents.runs.training import resume_training
from mixq_rl.agents.runs.training import train as train_run
from mixq_rl.errors import InputError
from mixq_rl.evaluation.objective import BITOPS
from mixq_rl.printable import shell_word
from mixq_rl.training.cache import PreparationCache

__all__ = ["carry_out", "train"]


@options_of(RunConfig, several=("dataset", "model", "num_layers", "bits"))
@options_of(WorkersConfig, parameter="working")
def train(
    *,
    context: typer.Context,
    given: Given[RunConfig],
    working: Given[WorkersConfig],
    policy: options.Policy = None,
    cache: options.Cache = options.CACHE,
    run_dir: options.RunDir = None,
    resume: options.Resume = None,
    config: options.ConfigFile = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Search bit-widths for a network on a dataset, and fine-tune and measure the best; or train one policy on several.

    Several datasets, models, depths or sets of bit-widths make one task for each combination. One policy learns on all
    tasks. mixq-rl transfer and mixq-rl allocate use it on other datasets. No network is fine-tuned.

    A run that was stopped, by Ctrl-C or by force, can be resumed with --resume.

    Example: mixq-rl train --dataset Cora --data-root data --episodes 1000 --bits 2,4,8 --seed 0

    Example: mixq-rl train --dataset citation --dataset Cora --model gcn --model sage --data-root data

    Example: mixq-rl train --resume runs/citation-gcn-seed0-20260101-120000
    """
    with output(quiet, as_json) as out:
        workers = working.config()
        if resume is not None:
            refuse_beside_resume(context)
            source = context.get_parameter_source("data_root")
            # A run keeps its data root: MIXQ_RL_DATA is for new runs.
            moved = given.values["data_root"] if source is not None and source.name == "COMMANDLINE" else None
            _go_on(resume, PreparationCache(cache), workers, moved, *_named_files(context, given), out)
            return
        configs = given.configs(policy="" if policy is None else str(policy))
        source = context.get_parameter_source("policy")
        if policy is not None and source is not None and source.name == "DEFAULT_MAP":
            raise InputError(f"the configuration begins with the policy {str(policy)!r}: name it with --policy, too")
        source = context.get_parameter_source("data_root")
        if config is not None and source is not None and source.name == "DEFAULT_MAP":
            configs = [confirmed(one, config.parent, None) for one in configs]
        if config is not None:
            configs = confirmed_models(configs, config, *_named_files(context, given))
        if len(configs) == 1:
            carry_out(configs[0], run_dir, PreparationCache(cache), workers, out)
        else:
            _learn(configs, run_dir, PreparationCache(cache), workers, out)


def carry_out(
    config: RunConfig, run_dir: Path | None, cache: PreparationCache, workers: WorkersConfig, out: Output
) -> None:
    """Carry out one run and print its result."""
    workers.check(config)
    folder = run_dir or default_run_dir(config)
    with going_on(folder, _resuming(cache, [config])), interruptible(out.announcing(whereabouts(folder))) as stage:
        result = train_run(config, folder, stage, cache, workers=workers)
    _show_result(result, out)


def _learn(
    configs: Sequence[RunConfig], run_dir: Path | None, cache: PreparationCache, workers: WorkersConfig, out: Output
) -> None:
    """Train one policy on several tasks."""
    workers.check(configs[0])
    for name in configs[0].limits:
        raise InputError(f"{name}: a policy for several tasks learns the trade-off, without a limit")
    if configs[0].policy:
        raise InputError(f"policy {configs[0].policy!r}: a policy for several tasks is a new one")
    if configs[0].saved is not BITOPS:
        raise InputError(f"objective {configs[0].objective}: a policy for several tasks learns to save bit operations")
    tasks = tuple(config.evaluator_config() for config in configs)
    plan = PolicyPlan(tasks, configs[0].episodes, configs[0].seed)
    folder = run_dir or timed_run_dir(f"policy-{len(tasks)}-tasks-seed{plan.seed}")
    with going_on(folder, _resuming(cache, tasks)), interruptible(out.announcing(whereabouts(folder))) as stage:
        reached = train_policy(plan, folder, stage, cache, workers=workers)
    _show_policy(reached, folder, out)


def _named_files(context: typer.Context, given: Given[RunConfig]) -> tuple[list[str], str | None]:
    """Return the models and the weights that the command line names, and not those of a file of options."""
    sources = [context.get_parameter_source(name) for name in ("model", "weights")]
    models, weights = (source is not None and source.name == "COMMANDLINE" for source in sources)
    return given.values["model"] if models else [], given.values["weights"] if weights else None


def _go_on(
    folder: Path,
    cache: PreparationCache,
    workers: WorkersConfig,
    data_root: str | None,
    models: Sequence[str],
    weights: str | None,
    out: Output,
) -> None:
    """Resume a run on one dataset, or the training of a policy."""
    kind = RunFolder.read(folder).kind
    if kind == "search":
        again = f"--run-dir {shell_word(folder)}"
        raise InputError(f"run folder {str(folder)!r} is of mixq-rl search: start that again with {again}")
    named = "" if data_root is None else f"--data-root {shell_word(data_root)} "
    named += "".join(files_option(model, None) for model in models) + files_option(None, weights)
    files: Any = {"data_root": data_root, "models": models, "weights": weights, "workers": workers}
    with going_on(folder, _resuming(cache, named=named)), interruptible(out.announcing(whereabouts(folder))) as stage:
        if kind == "policy":
            _show_policy(resume_policy(folder, stage, cache, **files), folder, out)
        else:
            _show_result(resume_training(folder, stage, cache, **files), out)


def _resuming(cache: PreparationCache, tasks: Sequence[EvaluatorConfig] = (), named: str = "") -> str:
    """Return the command that resumes a run, up to its folder."""
    elsewhere = "" if cache.path == options.CACHE else f"--cache {shell_word(cache.path)} "
    roots = named or next(filter(None, map(root_option, tasks)), "")
    files = "".join(dict.fromkeys(files_option(task.model, task.weights) for task in tasks))
    return f"train {elsewhere}{roots}{files}--resume"


def _show_result(result: RunResult, out: Output) -> None:
    out.show(final_table(result.finalists, result.best, result.choice, result.objective, result.metric, result.change))
    out.show(allocation_table(result.components, result.best))
    out.say(
        f"{headline(result)}\n"
        f"{result.evaluations} allocations executed on integers, hypervolume {area(result.hypervolume)}\n"
        f"{whereabouts(result.run_dir)}"
    )
    out.conclude({**result.document(), "run_dir": str(result.run_dir)})


def _show_policy(reached: Sequence[LearnedTask], folder: Path, out: Output) -> None:
    out.show(policy_table(reached))
    out.say(whereabouts(folder))
    out.conclude({"tasks": [asdict(task) for task in reached], "run_dir": str(folder)})
