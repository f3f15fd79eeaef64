"""The command, called in this process or in one of its own."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from mixq_rl.agents.cli import main
from tests.conftest import make_task

__all__ = [
    "PROGRAM",
    "SMALL",
    "Ended",
    "Invoke",
    "copy_run",
    "interrupted",
    "invoke_here",
    "run",
    "run_alone",
    "save_graph",
]

PROGRAM = "from mixq_rl.agents.cli import main; main()"
SMALL = (
    *("--dataset", "graph.npz", "--episodes", "4", "--layers", "1", "--hidden-channels", "8"),
    *("--bits", "2,4", "--evaluator", "post-training"),
)
"""Options of a run that takes two seconds."""


@dataclass(frozen=True)
class Ended:
    """What a command did."""

    code: int
    stdout: str
    stderr: str


Invoke = Callable[..., Ended]


def invoke_here(*arguments: str) -> Ended:
    """Call the command in this process, folder and environment."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["mixq-rl", *arguments]),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    assert isinstance(ended.value.code, int)
    return Ended(ended.value.code, stdout.getvalue(), stderr.getvalue())


def run(*arguments: str, cwd: Path, check: bool = False) -> Ended:
    """Call the command in this process, in a folder, without what the environment says of the data."""
    with contextlib.chdir(cwd), mock.patch.dict(os.environ):
        os.environ.pop("MIXQ_RL_DATA", None)
        ended = invoke_here(*arguments)
    assert ended.code == 0 or not check, ended.stderr
    return ended


def run_alone(*arguments: str, cwd: Path, check: bool = False) -> Ended:
    """Do the same in a process of its own: three seconds more, which go into imports."""
    environment = {name: value for name, value in os.environ.items() if name != "MIXQ_RL_DATA"}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)


def interrupted(*arguments: str, cwd: Path, once: str) -> Ended:
    """Call the command in a process of its own, and press Ctrl-C when files that match a pattern exist in ``cwd``."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "MIXQ_RL_DATA"},
    ) as process:
        deadline = time.monotonic() + 120
        while not list(cwd.glob(once)) and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=120)
    return Ended(process.returncode, output, errors)


def save_graph(path: Path, **changes: np.ndarray) -> Path:
    """Write a graph of one's own, or one with other arrays."""
    task = make_task()
    graph = {
        "x": task.x.numpy(),
        "edge_index": task.edge_index.numpy(),
        "y": task.y.numpy(),
        "train_mask": task.masks["train"].numpy(),
        "val_mask": task.masks["validation"].numpy(),
        "test_mask": task.masks["test"].numpy(),
    }
    np.savez(path, **{**graph, **changes})
    return path


def copy_run(made: Path, folder: Path) -> Path:
    """Copy ``run`` and its graph from where it was made, and have it say that it was made in ``folder``."""
    shutil.copytree(made, folder, dirs_exist_ok=True)
    config = folder / "run" / "config.json"
    document = json.loads(config.read_text())
    assert document["directory"] == str(made)
    config.write_text(json.dumps({**document, "directory": str(folder)}, indent=2) + "\n")
    return folder / "run"
