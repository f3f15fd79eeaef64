"""Result type of the checks of ``mixq-rl doctor``, and the table of findings."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from rich import box
from rich.markup import escape
from rich.table import Table

from mixq_rl.printable import printable

__all__ = ["Finding", "FindingRow", "findings_table"]


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        subject: what was checked.
        found: what was found.
        remedy: what the user can do; empty if nothing is missing.
    """

    subject: str
    found: str
    remedy: str = ""


class FindingRow(NamedTuple):
    """Row of the table of findings.

    Attributes:
        matters: whether the row is shown as a warning.
        subject: what was looked at.
        found: what was found.
        more: what to do or what it means, shown below; may be empty.
    """

    matters: bool
    subject: str
    found: str
    more: str


def findings_table(rows: Iterable[FindingRow]) -> Table:
    """Return a table with a mark, the subject and the finding in each row, and what follows from it below."""
    table = Table(box=box.SIMPLE, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        style = "yellow" if row.matters else None
        table.add_row("!" if row.matters else "✓", row.subject, escape(printable(row.found)), style=style)
        if row.more:
            table.add_row("", "", escape(printable(f"→ {row.more}")), style=style or "dim")
    return table
