"""What a command prints, and where: for people, or one line of JSON for programs."""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console, RenderableType

from mixq_rl.agents.progress.log import announced, handled
from mixq_rl.agents.progress.stages import Stages
from mixq_rl.agents.records.evaluator_config import Stage, silent

__all__ = ["Output", "output"]

_PLAIN_WIDTH = 120


class Output:
    """Where a command's words go.

    Attributes:
        console: what people read: stdout, or stderr beside a line of JSON.
        stage: shows progress: bars on a terminal; elsewhere the lines of the log do.
    """

    def __init__(self, *, quiet: bool, as_json: bool) -> None:
        stream = sys.stderr if as_json else sys.stdout
        # A pipe or a log file has no width of its own: tables must not be cut to 80 columns there.
        width = None if stream.isatty() else _PLAIN_WIDTH
        self.console = Console(file=stream, quiet=quiet, width=width)
        self._as_json = as_json
        self._bars = self.console.is_terminal and not quiet
        self.stage: Stage = Stages(self.console) if self._bars else silent

    def announcing(self, where: str) -> Stage:
        """Return the stage, which after the first that is carried out says where the run is."""
        return announced(self.stage, lambda: self.say(where))

    def show(self, renderable: RenderableType) -> None:
        """Print a table, unless programs read along."""
        if not self._as_json:
            self.console.print(renderable)

    def say(self, text: str) -> None:
        """Print text as it is."""
        self.console.print(text, soft_wrap=True, highlight=False, markup=False)

    def conclude(self, document: Mapping[str, Any]) -> None:
        """Print the results as one line, if that is wanted."""
        if self._as_json:
            typer.echo(json.dumps(document, allow_nan=False))

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Show what is logged inside the block: on a terminal warnings alone, elsewhere, where no bars are, all."""
        handler = _Handler(self)
        handler.setLevel(logging.WARNING if self._bars or self.console.quiet else logging.INFO)
        with handled(handler):
            yield


class _Handler(logging.Handler):
    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            typer.echo(f"mixq-rl: {record.getMessage()}", err=True)
        else:
            self._output.say(record.getMessage())


@contextmanager
def output(quiet: bool, as_json: bool) -> Iterator[Output]:
    """Give what a command prints with, its log shown."""
    printer = Output(quiet=quiet, as_json=as_json)
    with printer.logging():
        yield printer
