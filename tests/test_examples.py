"""Every command that README, docs and --help show is run, with as little training as will do."""

import itertools
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from typer.main import get_command

import mixq_rl.agents.cli
from mixq_rl.agents import RunConfig, train
from tests.agents.cli.invoking import save_graph
from tests.conftest import MakeOnce
from tests.hostile.honest_files import write_flickr, write_reddit
from tests.hurry import hurry
from tests.mixq_rl.datasets.ogb_files import write_ogbn

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
READ_FROM = ("--resume", "--policy", "--config", "report", "export", "compare", "predict", "runs")


def from_pages() -> Iterator[str]:
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", page.read_text(), flags=re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("$ "):
                    yield from (part.strip().removeprefix(".venv/bin/") for part in line[2:].split("&&"))


def from_help() -> Iterator[str]:
    for command in get_command(mixq_rl.agents.cli.app).commands.values():
        text = " ".join((command.help or "").split())
        yield from (example.strip() for example in re.findall(r"Example: (mixq-rl .*?)(?=Example:|$)", text))


SHOWN = list(dict.fromkeys([*from_pages(), *from_help()]))
COMMANDS = list(
    {re.sub(r" --run-dir \S+", "", shown): shown for shown in SHOWN if shown.startswith("mixq-rl ")}.values()
)
REAL = ("--data-root", "CSL")
"""Of commands on graphs that take their time."""
OTHERS = [shown for shown in SHOWN if not shown.startswith("mixq-rl ")]


def test_there_are_examples_of_every_command() -> None:
    names = {shlex.split(shown)[1] for shown in COMMANDS}
    assert names >= set(get_command(mixq_rl.agents.cli.app).commands)


@pytest.mark.parametrize("shown", OTHERS)
def test_other_commands_are_ones_that_exist(shown: str) -> None:
    program, *arguments = shlex.split(shown)
    if program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    elif program.endswith("python") and arguments[0] != "-m":
        assert (ROOT / arguments[0]).is_file()
    else:
        assert Path(program).name in ("mkdir", "cd", "git", "pip", "tensorboard", "python")


MODEL = """
from torch_geometric.nn import GCN

class Net(GCN):
    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, 8, 2, out_channels)
"""


@dataclass(frozen=True)
class Kitchen:
    """What examples find in the folder they are run in."""

    run: Path
    graph: Path


def stock(folder: Path) -> None:
    save_graph(folder / "graph.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        hurry(patch)
        train(RunConfig(dataset="graph.npz"), folder / "run")


@pytest.fixture
def kitchen(make_once: MakeOnce) -> Kitchen:
    folder = make_once("kitchen", stock)
    return Kitchen(folder / "run", folder / "graph.npz")


def write_large(name: str) -> bool:
    """Write small files in the layout of a large dataset, if it is one."""
    if name.startswith("ogbn"):
        pytest.importorskip("ogb")
        write_ogbn(Path("data"), name)
        return True
    writers = {"Reddit": write_reddit, "Flickr": write_flickr}
    if name in writers:
        writers[name](Path("data"))
    return name in writers


def lay_out(arguments: list[str], kitchen: Kitchen, request: pytest.FixtureRequest) -> None:
    """Put in place what an example takes for granted: datasets, a graph, the run or network that it reads."""
    if "--data-root" in arguments and not any(write_large(argument) for argument in arguments):
        Path("data").symlink_to(request.getfixturevalue("data_root"))
    shutil.copy(kitchen.graph, "graph.npz")
    with np.load(kitchen.graph) as arrays:
        graph = Data.from_dict({name: torch.from_numpy(arrays[name]) for name in arrays})
    torch.save(graph, "graph.pt")
    if "study.json" in arguments:
        options = {"episodes": 2, "num_layers": 1, "hidden_channels": 8, "evaluator": "post-training", "bits": "2,4"}
        seeds = [0] if "--workers" in arguments else [0, 1]  # workers do not know that there is a hurry
        Path("study.json").write_text(json.dumps({"datasets": ["graph.npz"], "seeds": seeds, "options": options}))
    if "net.py:Net" in arguments:
        Path("net.py").write_text(MODEL)
        made: dict[str, Any] = {}
        exec(MODEL, made)  # noqa: S102  the text above
        torch.save(made["Net"](graph.num_features, int(graph.y.max()) + 1).state_dict(), "model.pt")
    for before, argument in itertools.pairwise(arguments):
        if before not in READ_FROM or argument.startswith("-"):
            continue
        path = Path(argument).parent if argument.endswith(".json") else Path(argument)
        source = kitchen.run if path.parts[0] == "runs" else kitchen.run / "model"
        shutil.copytree(source, path / "done" if path == Path("runs") else path)
        if before == "--resume":
            (path / "result.json").unlink()


@pytest.mark.parametrize(
    "shown",
    [pytest.param(shown, marks=pytest.mark.slow if any(part in shown for part in REAL) else ()) for shown in COMMANDS],
)
def test_shown_commands_work(
    shown: str,
    kitchen: Kitchen,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, *arguments = shlex.split(shown)
    if "--workers" in arguments:
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'mixq-rl[ray]'")
    monkeypatch.chdir(tmp_path)
    lay_out(arguments, kitchen, request)
    monkeypatch.delenv("MIXQ_RL_DATA", raising=False)
    hurry(monkeypatch)
    monkeypatch.setattr(sys, "argv", ["mixq-rl", *arguments])
    with pytest.raises(SystemExit) as ended:
        mixq_rl.agents.cli.main()
    printed = capsys.readouterr()
    assert ended.value.code == 0, printed.err
    assert printed.out
    assert printed.err == ""
