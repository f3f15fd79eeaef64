import os
from pathlib import Path

import pytest

from tests.agents.cli.conftest import invoke, make_run
from tests.agents.cli.invoking import copy_run
from tests.conftest import MakeOnce

__all__ = ["invoke"]


@pytest.fixture(scope="session")
def attacks() -> int:
    """Number of attacks on each kind of file. The environment variable MIXQ_RL_ATTACKS sets it."""
    return int(os.environ.get("MIXQ_RL_ATTACKS", "40"))


@pytest.fixture
def finished(invoke: object, make_once: MakeOnce, tmp_path: Path) -> Path:
    """A finished run, which an attacker may change, in the present folder."""
    return copy_run(make_once("small-run", make_run), tmp_path).relative_to(tmp_path)
