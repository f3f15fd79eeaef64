"""Commands that are killed at any moment, also while they resume, and whose checkpoints are damaged in between."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixq_rl.evaluation.ledger import Ledger
from mixq_rl.evaluation.protocol import Evaluation
from tests.agents.cli.invoking import run, save_graph
from tests.conftest import MakeOnce, make_task
from tests.killing import begin, kept

SEED = 20261127
KILLS = 5
NETWORK = ("--layers", "1", "--hidden-channels", "8", "--bits", "2,4", "--evaluator", "post-training")
SHORT = ("--dataset", "graph.npz", *NETWORK)
COMMANDS = {
    "train": ("train", *SHORT, "--episodes", "16"),
    "search": ("search", *SHORT, "--algorithm", "ppo", "--algorithm", "nsga2", "--evaluations", "14"),
    "transfer": ("transfer", *SHORT, "--episodes", "16"),
    "policy": ("train", *SHORT, "--dataset", "other.npz", "--episodes", "8"),
}
"""Commands that end with the same table, however often they are killed."""

Damage = Callable[[Path, int], None]


def work(folder: Path, run_dir: str, command: tuple[str, ...]) -> None:
    """Begin a run or resume it, and note each evaluation that is stored; in a process of its own."""
    keep = Ledger._keep

    def noting(self: Ledger, allocations: list[tuple[int, ...]], evaluations: list[Evaluation]) -> None:
        keep(self, allocations, evaluations)
        with (folder / f"{run_dir}.made").open("a") as notes:
            notes.writelines(f"{self.fingerprint} {allocation}\n" for allocation in allocations)

    Ledger._keep = noting  # type: ignore[method-assign]
    begun = (folder / run_dir / "config.json").exists() and command[0] != "search"
    where = ("--resume", run_dir) if begun else (*command[1:], "--run-dir", run_dir)
    run("train" if begun else command[0], *where, "--cache", f"{run_dir}-prepared", "--quiet", cwd=folder, check=True)


def whole(make_once: MakeOnce, name: str) -> Path:
    """The folder of a run of a command that is not killed, and the seconds that it took."""

    def fill(folder: Path) -> None:
        save_graph(folder / "graph.npz")
        other = make_task(seed=1)
        save_graph(folder / "other.npz", x=other.x.numpy(), edge_index=other.edge_index.numpy(), y=other.y.numpy())
        begin(work, folder, "warm", COMMANDS[name]).join()  # starts the server that imports torch
        started = time.monotonic()
        process = begin(work, folder, "whole", COMMANDS[name])
        process.join()
        assert process.exitcode == 0
        (folder / "seconds").write_text(f"{time.monotonic() - started}")

    return make_once(f"killed-{name}", fill)


def nothing(run_dir: Path, kill: int) -> None:
    """Damage nothing."""


def checkpoints_damaged(run_dir: Path, kill: int) -> None:
    """Damage the newest checkpoint, and after every second kill both."""
    for folder in sorted(run_dir.glob("checkpoints/0*"), reverse=True)[: 1 + kill % 2]:
        path = folder / "checkpoint.safetensors"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(bytes(content))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("train", checkpoints_damaged),
        ("search", nothing),
        ("transfer", nothing),
        ("transfer", checkpoints_damaged),
        ("policy", nothing),
        ("policy", checkpoints_damaged),
    ],
)
def test_the_result_is_that_of_a_run_without_kills(make_once: MakeOnce, name: str, damage: Damage) -> None:
    folder = whole(make_once, name)
    seconds = float((folder / "seconds").read_text())
    run_dir = f"run-{damage.__name__}"
    killed = 0
    for kill, share in enumerate(np.random.default_rng(SEED).uniform(0.1, 0.6, KILLS).tolist()):
        process = begin(work, folder, run_dir, COMMANDS[name])
        process.join(seconds * share)
        if process.is_alive():
            process.kill()
            killed += 1
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        damage(folder / run_dir, kill)
    process = begin(work, folder, run_dir, COMMANDS[name])
    process.join()
    assert process.exitcode == 0
    for file in ("result.json", "allocations.csv", "policy/policy.safetensors", "model/integer_model.safetensors"):
        reference = folder / "whole" / file
        if reference.exists():
            assert _timeless(folder / run_dir / file) == _timeless(reference), file
    assert kept(folder / run_dir) == kept(folder / "whole")
    made = (folder / f"{run_dir}.made").read_text().splitlines()
    assert len(set(made)) == len(made), "an allocation was evaluated twice"
    assert killed >= 2, "the kills fall into the run"


def _timeless(path: Path) -> bytes:
    """Return the content of a file without the seconds in it, which differ from run to run."""
    lines = path.read_bytes().splitlines()
    return b"\n".join(line for line in lines if b'"seconds"' not in line)
