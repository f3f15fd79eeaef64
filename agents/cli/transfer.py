"""Command ``mixq-rl transfer``: use of a policy on a new dataset."""

from typing import Annotated

import typer

from mixq_rl.agents.cli import options
from mixq_rl.agents.cli.fields import Given, options_of
from mixq_rl.agents.cli.output import output
from mixq_rl.agents.cli.train import carry_out
from mixq_rl.agents.ppo.proposals import SWEEP
from mixq_rl.agents.records.run_config import RunConfig
from mixq_rl.agents.records.workers_config import WorkersConfig
from mixq_rl.training.cache import PreparationCache

__all__ = ["transfer"]


@options_of(RunConfig, without=("from_scratch",))
@options_of(WorkersConfig, parameter="working")
def transfer(
    *,
    policy: options.Policy = None,
    given: Given[RunConfig],
    episodes: Annotated[
        int,
        typer.Option(help="Allocations to evaluate. The policy proposes the first 16. With more a new policy learns."),
    ] = SWEEP,
    working: Given[WorkersConfig],
    cache: options.Cache = options.CACHE,
    run_dir: options.RunDir = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Use a trained policy on a new dataset, and fine-tune and measure the best networks as mixq-rl train does.

    A run that was stopped can be resumed with mixq-rl train --resume.

    Example: mixq-rl transfer --policy runs/mine --dataset CiteSeer --data-root data

    Example: mixq-rl transfer --dataset CiteSeer --data-root data --episodes 64
    """
    with output(quiet, as_json) as out:
        config = given.config(episodes=episodes, policy="" if policy is None else str(policy))
        carry_out(config, run_dir, PreparationCache(cache), working.config(), out)
