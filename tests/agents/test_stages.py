import io

import pytest
from rich.console import Console

from mixq_rl.agents.stages import Stages
from mixq_rl.errors import InputError


def console(terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=100, force_terminal=terminal)


def printed(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_stage_that_counts_shows_how_far_it_is(terminal: bool) -> None:
    on = console(terminal)
    with Stages(on, "where")("searching", "episodes") as progress:
        for done in range(1, 4):
            progress(done, 3)
    assert "searching" in printed(on)
    assert "3/3 episodes" in printed(on)


def test_a_stage_that_counts_nothing_shows_no_numbers() -> None:
    on = console()
    with Stages(on, "where")("loading", ""):
        pass
    assert "loading" in printed(on)
    assert "/" not in printed(on)


def test_the_place_is_named_once_after_the_first_stage() -> None:
    on = console()
    stages = Stages(on, "run folder: [here]")
    for what in ("first", "second"):
        with stages(what, "epochs") as progress:
            progress(1, 1)
    text = printed(on)
    assert text.count("run folder: [here]") == 1
    assert text.index("first") < text.index("run folder") < text.index("second")


def test_a_stage_that_fails_leaves_nothing_but_the_error() -> None:
    on = console()
    with pytest.raises(InputError, match="no such graph"), Stages(on, "where")("loading", ""):
        raise InputError("no such graph")
    assert printed(on).strip() == ""
