from pathlib import Path

import pytest

from tests.agents.cli.invoking import Invoke, invoking
from tests.agents.test_cli import save_graph


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Invoke:
    """The command, in an empty folder with a graph in it."""
    save_graph(tmp_path / "graph.npz")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIXQ_RL_DATA", raising=False)
    return invoking(monkeypatch, capsys)
