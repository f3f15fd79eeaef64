"""Output of a command: tables and text, or one line of JSON."""

import errno
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from mixq_rl.agents.cli.failures import Failure
from mixq_rl.agents.cli.narrow import fitting
from mixq_rl.agents.cli.streams import undelivered
from mixq_rl.agents.progress.log import announced, handled, logger
from mixq_rl.agents.progress.stages import Stages
from mixq_rl.agents.records.evaluator_config import Stage, silent
from mixq_rl.printable import printable

__all__ = ["Output", "output"]

_PLAIN_WIDTH = 120
_DATA_LOGGER = logger.getChild("data").name


class Output:
    """Output of a command.

    Attributes:
        console: console for tables and text: stdout, or stderr if JSON goes to stdout.
        stage: progress bars on a terminal; elsewhere nothing, because the log lines show progress.
    """

    def __init__(self, *, quiet: bool, as_json: bool) -> None:
        stream = sys.stderr if as_json else sys.stdout
        # A pipe or a log file has no width: tables must not be cut to rich's default of 80 columns.
        width = None if stream.isatty() else _PLAIN_WIDTH
        self.console = Console(file=stream, quiet=quiet, width=width)
        self._as_json = as_json
        self._bars = self.console.is_terminal and not quiet
        self.stage: Stage = Stages(self.console) if self._bars else silent

    def announcing(self, where: str) -> Stage:
        """Return the stage of this output, which prints ``where`` when its first use has ended."""
        return announced(self.stage, lambda: self.say(where))

    def show(self, table: Table) -> None:
        """Print a table, except with JSON output. On a narrow terminal its rows become lines."""
        if not self._as_json:
            self.console.print(fitting(table, self.console))

    def say(self, text: str) -> None:
        """Print text without wrapping and without markup. Characters that do not print are escaped."""
        self.console.print(printable(text, keep="\n"), soft_wrap=True, highlight=False, markup=False)

    def conclude(self, document: Mapping[str, Any]) -> None:
        """Print the results as one line of JSON, if JSON output is wanted.

        Raises:
            Failure: if standard output is closed.
        """
        if self._as_json:
            error = undelivered(sys.stdout)
            if error is not None and error.errno == errno.EBADF:
                raise Failure("the results cannot be printed as JSON: standard output is closed")
            typer.echo(json.dumps(document, allow_nan=False))

    def _is_about_data(self, record: logging.LogRecord) -> bool:
        return record.name == _DATA_LOGGER and not self.console.quiet

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Print log lines inside the block.

        Where bars are shown these are only warnings, and what was done to the user's data or was found in them. Quiet
        output has warnings only.
        """
        handler = _Handler(self)
        handler.setLevel(logging.INFO)
        if self._bars or self.console.quiet:
            handler.addFilter(lambda record: record.levelno >= logging.WARNING or self._is_about_data(record))
        with handled(handler):
            yield


class _Handler(logging.Handler):
    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = printable(record.getMessage())
        if record.name == _DATA_LOGGER:
            if message in self._said:  # a run of several tasks loads data more than once
                return
            self._said.add(message)
        if record.levelno >= logging.WARNING:
            typer.echo(f"mixq-rl: {message}", err=True)
        else:
            self._output.say(message)


@contextmanager
def output(quiet: bool, as_json: bool) -> Iterator[Output]:
    """Give the output of a command, which prints log lines inside the block."""
    printer = Output(quiet=quiet, as_json=as_json)
    with printer.logging():
        yield printer
