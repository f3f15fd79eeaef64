from tests.agents.cli.conftest import invoke, small_run

__all__ = ["invoke", "small_run"]
