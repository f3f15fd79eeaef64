from pathlib import Path

import pytest

from tests.agents.cli.invoking import SMALL, Invoke, copy_run, invoke_here, run, save_graph
from tests.conftest import MakeOnce


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Invoke:
    """The command, in an empty folder with a graph in it."""
    save_graph(tmp_path / "graph.npz")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIXQ_RL_DATA", raising=False)
    return invoke_here


def make_run(folder: Path) -> None:
    save_graph(folder / "graph.npz")
    run("train", *SMALL, "--run-dir", "run", "--quiet", cwd=folder, check=True)


@pytest.fixture
def small_run(invoke: Invoke, make_once: MakeOnce, tmp_path: Path) -> Path:
    """The folder ``run``, in the present one, as ``mixq-rl train`` with ``SMALL`` leaves it."""
    return copy_run(make_once("small-run", make_run), tmp_path).relative_to(tmp_path)
