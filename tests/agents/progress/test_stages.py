import io

import pytest
from rich.console import Console

from mixq_rl.agents.progress.stages import Stages
from mixq_rl.errors import InputError


def console(terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=100, force_terminal=terminal)


def printed(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_stage_that_counts_shows_how_far_it_is(terminal: bool) -> None:
    on = console(terminal)
    with Stages(on)("searching", "episodes") as progress:
        for done in range(1, 4):
            progress(done, 3)
    assert "searching" in printed(on)
    assert "3/3 episodes" in printed(on)


def test_a_stage_that_counts_nothing_shows_no_numbers() -> None:
    on = console()
    with Stages(on)("loading", ""):
        pass
    assert "loading" in printed(on)
    assert "/" not in printed(on)


def test_a_stage_that_fails_leaves_nothing_but_the_error() -> None:
    on = console()
    with pytest.raises(InputError, match="no such graph"), Stages(on)("loading", ""):
        raise InputError("no such graph")
    assert printed(on).strip() == ""


@pytest.mark.parametrize("width", [1, 20])
def test_a_narrow_terminal_shows_the_count_first(width: int) -> None:
    on = Console(file=io.StringIO(), width=width, force_terminal=True)
    with Stages(on)("searching", "episodes") as progress:
        progress(3, 3)
    assert "3/3" in printed(on) or width < 20
    assert "searching" in printed(on) or width < 20
