"""Checks of runs of the command on a GPU: equal tables after ``--resume``, and the integers of a CPU."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from wheels import ROOT

import mixq_rl
from mixq_rl.agents import EvaluatorConfig
from mixq_rl.datasets import GraphTask

__all__ = ["TAIL", "command", "environment", "killed_and_resumed", "same_allocations", "same_finalists", "train_cora"]

TAIL = 3000  # characters of an output that are kept
_COMMAND = [sys.executable, "-c", "from mixq_rl.agents.cli import main; main()"]


def environment(threads: int | None = None) -> dict[str, str]:
    """Return what a process of its own is started with; threads of such that run side by side wait for each other."""
    # The package is the installed one, not the folder of the same name in the tree.
    variables = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
    return variables if threads is None else {**variables, "OMP_NUM_THREADS": str(threads)}


def command(*arguments: str, seconds: float) -> tuple[int, str]:
    """Run mixq-rl, and return its exit status and what it printed."""
    ended = subprocess.run(
        [*_COMMAND, *arguments],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    return ended.returncode, ended.stdout


def killed_and_resumed(device: str, episodes: str, runs: Path, until: float) -> tuple[bool, str]:
    """Run ``whole`` and, beside it, ``killed``, which is killed while it searches, and resumed."""
    options = ["--device", device, "--dataset", "citation", "--episodes", episodes, "--seed", "0"]
    logs = {name: runs / f"{name}.log" for name in ("whole", "killed")}
    threads = max(1, (os.cpu_count() or 1) // 4)
    whole, killed = (
        _start([*options, "--run-dir", str(runs / name)], runs, log, threads) for name, log in logs.items()
    )
    try:
        searching = runs / "killed" / "evaluations.sqlite"
        while not searching.exists() and killed.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(0.5)
        killed.kill()
        killed.wait()
        was_done = (runs / "killed" / "result.json").exists()
        resumed = _start(["--resume", str(runs / "killed")], runs, logs["killed"], threads)
        _wait(resumed, logs["killed"], until)
        _wait(whole, logs["whole"], until)
    finally:
        for process in (whole, killed):
            process.kill()
    tables = [_table(runs / name) for name in logs]
    ending = " (it had ended before it was killed)" if was_done else ""
    same = tables[0] == tables[1]
    return same, f"{len(tables[0])} networks{ending}" if same else f"whole: {tables[0]}\nresumed: {tables[1]}{ending}"


def train_cora(device: str, episodes: str, data_root: str, threads: int | None, runs: Path) -> tuple[bool, str]:
    """Run ``cora-<device>`` to its table."""
    name = f"cora-{device}"
    options = ["--device", device, "--dataset", "Cora", "--data-root", str(Path(data_root).resolve())]
    options += ["--episodes", episodes, "--run-dir", str(runs / name)]
    log = runs / f"{name}.log"
    started = time.monotonic()
    _wait(_start(options, runs, log, threads), log, started + 150)
    seconds = f"{time.monotonic() - started:.1f} s of {episodes} episodes"
    return True, "\n".join([*(str(row) for row in _table(runs / name)), seconds])


def same_finalists(run: Path) -> tuple[bool, str]:
    """Whether the networks of a run give the same integers on its device and on the CPU."""
    document = json.loads((run / "config.json").read_text())["config"]
    task = mixq_rl.load_task(document["dataset"], document["data_root"], device=document["device"])
    folders = sorted((run / "finalists").iterdir())
    different = [folder.name for folder in folders if not _same(mixq_rl.IntegerModel.load(folder, task.device), task)]
    return not different and len(folders) > 0, f"{len(folders)} networks; different: {different}"


def same_allocations(run: Path) -> tuple[bool, str]:
    """Whether what a run evaluated on its device gives the same integers and accuracies on the CPU."""
    document = json.loads((run / "config.json").read_text())["config"]
    names = ("dataset", "data_root", "seed", "device")
    config = EvaluatorConfig(**{name: document[name] for name in names})
    # The cache has what the run trained: nothing is trained again, and the store knows the network.
    evaluator = config.prepare(*config.load(), cache=mixq_rl.PreparationCache(_cache(run)))
    store = mixq_rl.EvaluationStore(run / "evaluations.sqlite")
    evaluated = store.evaluations(evaluator.fingerprint)
    store.close()
    here, different = evaluator.task.to("cpu"), []
    for allocation, evaluation in evaluated.items():
        model = evaluator.freeze(allocation)
        logits = model.to("cpu")(here.x, here.edge_index)
        if not _same(model, evaluator.task) or here.accuracy(logits, "validation") != evaluation.accuracy:
            different.append(allocation)
    return not different and len(evaluated) > 0, f"{len(evaluated)} allocations; different: {different[:5]}"


def _same(model: mixq_rl.IntegerModel, task: GraphTask) -> bool:
    """Return whether a network that is on the task's device gives the integers that it gives on the CPU."""
    results = []
    for network, place in ((model, task), (model.to("cpu"), task.to("cpu"))):
        graph = place.inputs("test").graph
        output = network.execute(network.quantize_features(place.x), network.quantize_graph(graph))
        results.append(output.payload.data.cpu())
    return torch.equal(*results)


def _start(options: list[str], folder: Path, log: Path, threads: int | None) -> subprocess.Popen[bytes]:
    # One cache each: what one run has trained must not help another.
    arguments = [*_COMMAND, "train", *options, "--cache", str(_cache(log.with_suffix("")))]
    with log.open("ab") as output:
        return subprocess.Popen(
            arguments, cwd=folder, env=environment(threads), stdout=output, stderr=subprocess.STDOUT
        )


def _cache(run: Path) -> Path:
    return run.with_suffix(".cache")


def _wait(process: subprocess.Popen[bytes], log: Path, until: float) -> None:
    """Wait for a command; raise with its output if it fails, and kill it if it takes too long."""
    try:
        code = process.wait(max(1.0, until - time.monotonic()))
    finally:
        process.kill()
        process.wait()
    if code:
        raise RuntimeError(f"exit status {code}: {log.read_text()[-TAIL:]}")


def _table(folder: Path) -> list[dict[str, Any]]:
    """Return what a run found, without what time has a part in."""
    finalists = json.loads((folder / "result.json").read_text())["finalists"]
    kept = ("accuracy", "bitops", "reduction")
    return [
        {"label": one["label"], "test_accuracy": one["test_accuracy"], **{key: one["evaluation"][key] for key in kept}}
        for one in finalists
    ]
