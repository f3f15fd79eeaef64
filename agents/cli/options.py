"""Options of several commands that are not fields of a configuration."""

from pathlib import Path
from typing import Annotated

import typer

from mixq_rl.agents.cli.config_file import read_config

__all__ = ["CACHE", "Cache", "ConfigFile", "Json", "Policy", "Quiet", "Resume", "RunDir"]

CACHE = Path("runs/prepared")
Cache = Annotated[
    Path,
    typer.Option(
        envvar="MIXQ_RL_CACHE",
        help="Cache of trained networks: a network with the same data, settings and versions is not trained again.",
    ),
]
Policy = Annotated[
    Path | None,
    typer.Option(help="Folder of a policy, or of the run that trained it.", show_default="the policy of the package"),
]
RunDir = Annotated[
    Path | None,
    typer.Option(help="Folder for the results, new or empty.", show_default="runs/<dataset>-<model>-seed<seed>-<time>"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print the results as one line of JSON; progress goes to standard error.")
]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="Resume a run that was stopped. The options of the run are those with which it began.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        is_eager=True,
        callback=read_config,
        help="Read options from a file, such as config.json of a run folder. The command line overrides them.",
    ),
]
