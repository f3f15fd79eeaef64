"""Application ``mixq-rl``: its commands, and the exit codes of their errors."""

import errno
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated

import typer
from typer.exceptions import TyperException

from mixq_rl.agents.cli.failures import FAILED, INTERRUPTED, USAGE, Failure, reason
from mixq_rl.agents.cli.streams import end_by_sigpipe, settled_streams, undelivered
from mixq_rl.errors import InputError
from mixq_rl.printable import printable
from mixq_rl.startup import imported
from mixq_rl.version import __version__

__all__ = ["app", "main"]

_LEARNING = ("train", "transfer", "allocate", "search", "study", "compare")
_OTHERS = ("predict", "export", "report", "runs", "inspect", "doctor")
_NEEDS = {**dict.fromkeys(_LEARNING, "gymnasium"), "report": "jinja2"}

app = typer.Typer(
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Example: mixq-rl train --dataset citation --episodes 64",
)


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


def _absent(name: str) -> Callable[[], None]:
    def needs_more() -> None:
        raise InputError(f"mixq-rl {name} needs more packages: pip install 'mixq-rl[rl]'")

    needs_more.__doc__ = "Needs more packages: pip install 'mixq-rl\\[rl]'."
    return needs_more


def _register() -> None:
    for name in (*_LEARNING, *_OTHERS):
        if name in _NEEDS and find_spec(_NEEDS[name]) is None:
            settings = {"ignore_unknown_options": True, "allow_extra_args": True}
            app.command(name, context_settings=settings)(_absent(name))
        else:
            app.command(name)(getattr(import_module(f"mixq_rl.agents.cli.{name}"), name))


_register()


def main() -> None:
    """Run the command and exit with 0 if it succeeded, 1 if it failed, 2 for a user's mistake, 130 if interrupted.

    If the reader of stdout closes the pipe, the command goes on without output, and the process ends by SIGPIPE.
    """
    try:
        imported()
        with settled_streams():
            code = _delivered(_ended())
    except KeyboardInterrupt:  # between two of the lines above
        code = INTERRUPTED
    sys.exit(code)


def _ended() -> int:
    """Run the command and return its exit code."""
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except SystemExit as end:  # shell completion ends so
        return end.code if isinstance(end.code, int) else FAILED if end.code else 0
    except Failure as failure:
        return _fail(str(failure), failure.code)
    except InputError as error:
        return _fail(str(error), USAGE)
    except (typer.Abort, KeyboardInterrupt):
        return _fail("interrupted", INTERRUPTED)
    except TyperException as error:
        return _fail(error.format_message() if isinstance(error, typer.BadParameter) else str(error), USAGE)
    except OSError as error:
        return _fail(reason(error), FAILED)
    return _fail("interrupted", INTERRUPTED) if code == INTERRUPTED else code or 0


def _delivered(code: int) -> int:
    """Return the exit code of the process, given that of the command."""
    error = undelivered(sys.stdout)
    if code or error is None or error.errno == errno.EBADF:
        return code
    if error.errno == errno.EPIPE:
        return end_by_sigpipe()
    return _fail(f"standard output: {reason(error)}", FAILED)


def _fail(message: str, code: int) -> int:
    typer.echo(f"mixq-rl: {printable(' '.join(message.split()))}", err=True)
    return code
