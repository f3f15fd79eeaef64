import io

import pytest
from rich.console import Console
from rich.table import Table

from mixq_rl.agents.cli.narrow import fitting


def table() -> Table:
    made = Table(title="networks", caption="in %")
    made.add_column("network", no_wrap=True)
    for heading in ("val", "BitOPs linear"):
        made.add_column(heading, justify="right", no_wrap=True)
    made.add_column("bits", overflow="fold")
    made.add_row("agent 1", "80.0", "1.005 (16.0×)", "2 " * 40)
    made.add_row("agent \\[2]", "79.0", "1.004 (17.0×)", "")
    return made


def printed(shown: Table, width: int, *, terminal: bool = True) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    console.print(fitting(shown, console))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_wide_terminal_shows_the_table() -> None:
    assert "─" in printed(table(), 80) or "━" in printed(table(), 80)


def test_a_file_shows_the_table() -> None:
    assert "━" in printed(table(), 20, terminal=False)


@pytest.mark.parametrize("width", [1, 2, 20, 30])
def test_a_narrow_terminal_loses_nothing(width: int) -> None:
    text = printed(table(), width)
    assert all(len(line) <= width for line in text.splitlines())
    together = "".join(text.split())
    for part in ("networks", "network:agent1", "val:80.0", "1.005(16.0×)", "2" * 40, "agent[2]", "in%"):
        assert part in together
    assert "…" not in text


def test_pairs_are_lines() -> None:
    pairs = Table()
    pairs.add_column("component", no_wrap=True)
    pairs.add_column("bits")
    pairs.add_row("conv1.weight", "4")
    assert printed(pairs, 20) == "conv1.weight: 4\n"
