"""Options that several commands take, beside those of a configuration's fields."""

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
        help="Folder of networks that were trained before, found by all that they follow from: none is trained twice.",
    ),
]
Policy = Annotated[
    Path | None,
    typer.Option(
        help="Folder of a policy, or of the run that trained it.", show_default="the one that comes with the package"
    ),
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
        help="Go on with a run that was stopped, as if it had not been; it takes no other option of the run.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        is_eager=True,
        callback=read_config,
        help="Take options from a file, such as config.json of a run folder; those given beside it override it.",
    ),
]
