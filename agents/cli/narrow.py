"""Tables on terminals that are too narrow for them."""

from itertools import zip_longest

from rich.console import Console, Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

__all__ = ["fitting"]

_PAIR = 2  # columns: a name and its value
_FOLDED = 12  # least width of a column whose text continues on further lines


def fitting(table: Table, console: Console) -> RenderableType:
    """Return the table; for a terminal that is too narrow for its columns, its rows as lines ``heading: value``.

    A row of two columns becomes one line.
    """
    borders = 3 * len(table.columns) + 1  # at most
    if not console.is_terminal or sum(_needed(column, console) for column in table.columns) + borders <= console.width:
        return table
    return _stacked(table, console)


def _needed(column: Column, console: Console) -> int:
    widest = max((console.render_str(str(cell)).cell_len for cell in [column.header, *column.cells]), default=0)
    return widest if column.no_wrap else min(widest, _FOLDED)


def _stacked(table: Table, console: Console) -> Group:
    def text(value: RenderableType | None, style: str = "") -> Text:
        return console.render_str(str(value or ""), style=style)

    lines = [text(table.title, "bold")] if table.title else []
    headings = [text(column.header, "bold") for column in table.columns]
    for row, cells in zip(table.rows, zip_longest(*(column.cells for column in table.columns)), strict=True):
        values = [text(cell, str(row.style or "")) for cell in cells]
        if len(values) <= _PAIR:
            lines.append(Text(": ").join(values))
            continue
        if table.show_header and lines:
            lines.append(Text())
        for heading, value in zip(headings, values, strict=True):
            if value.plain:
                lines.append(Text(": ").join([heading, value]) if table.show_header else value)
    if table.caption:
        lines += [Text(), text(table.caption, "dim")]
    return Group(*lines)
