"""Processes that tests kill, and what their stores hold afterwards."""

import contextlib
import multiprocessing
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

__all__ = ["begin", "descendants", "kept"]


def begin(work: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Start a function of a module in a process of its own, from a server that has imported the module."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([work.__module__])
    process = context.Process(target=work, args=arguments)
    process.start()
    return process


def descendants(title: bytes) -> list[int]:
    """Return the processes below this one whose command begins with a title, from /proc."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    family = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    found = []
    for child in sorted(family):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{child}/cmdline").read_bytes().startswith(title):
                found.append(child)
    return found


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
