"""Processes that tests kill, and what their stores hold afterwards."""

import multiprocessing
import sqlite3
from collections.abc import Callable
from contextlib import closing
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

__all__ = ["begin", "kept"]


def begin(work: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Start a function of a module in a process of its own, from a server that has imported the module."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([work.__module__])
    process = context.Process(target=work, args=arguments)
    process.start()
    return process


def kept(run_dir: Path) -> set[tuple[object, ...]]:
    """Return the rows of the evaluations without their seconds, as whoever opens the store after a kill sees them."""
    path = run_dir / "evaluations.sqlite"
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if "evaluations" not in tables:
            return set()
        rows = connection.execute("SELECT * FROM evaluations")
        timed = [name for name, *_ in rows.description].index("seconds")
        return {row[:timed] + row[timed + 1 :] for row in rows}
