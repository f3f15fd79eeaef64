import os

import pytest

from tests.agents.cli.conftest import invoke, small_run

__all__ = ["invoke", "small_run"]


@pytest.fixture(scope="session")
def attacks() -> int:
    """Number of attacks on each kind of file. The environment variable MIXQ_RL_ATTACKS sets it."""
    return int(os.environ.get("MIXQ_RL_ATTACKS", "40"))
