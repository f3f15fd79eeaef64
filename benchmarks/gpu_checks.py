"""Whether a GPU gives the right integers: tests on the card, equality with the CPU's, and the command end to end."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from contestants import BITS, random_rows
from graphs import named_graph
from wheels import ROOT

import mixq_rl
from mixq_rl import kernels
from mixq_rl.quantization import IntegerRange, PackedRows

__all__ = ["run_checks"]

KERNEL_TESTS = [f"tests/mixq_rl/kernels/test_{name}_backend.py" for name in ("cuda", "triton")]
COMMAND = [sys.executable, "-c", "from mixq_rl.agents.cli import main; main()"]
TAIL = 3000  # characters of an output that are kept

Checks = dict[str, dict[str, Any]]


def run_checks(device: str, data_root: str | None, quick: bool, save: Callable[[Checks], None], until: float) -> Checks:
    """Return, and save after each check, by its name: whether it passed, a message, seconds.

    Args:
        device: cpu or cuda.
        data_root: where Cora is; None: the command runs on the built-in citation graph alone.
        quick: one test of the kernels and few episodes.
        save: is given the checks after each one.
        until: time of :func:`time.monotonic` after which no check is begun.
    """
    checks: Checks = {}

    def check(name: str, of: Callable[[], tuple[bool, str]]) -> None:
        started = time.monotonic()
        if started > until:
            passed, message = False, "not run: no time was left"
        else:
            try:
                passed, message = of()
            except Exception as error:  # a check that breaks has failed, and the others go on
                passed, message = False, f"{type(error).__name__}: {error}"[-TAIL:]
        seconds = round(time.monotonic() - started, 1)
        checks[name] = {"passed": passed, "message": message, "seconds": seconds}
        shown = message.strip().splitlines()[-1][:160] if message.strip() else ""
        print(f"  {'passed' if passed else 'FAILED'}: {name}, {seconds} s: {shown}", flush=True)
        save(checks)

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as beside:
        runs = Path(folder)
        # Beside the tests, for neither is timed.
        killed = beside.submit(_killed_and_resumed, device, _episodes(quick), runs, until)
        check("tests of the kernels", lambda: _pytest(KERNEL_TESTS, device, quick, 150))
        check("sums of a large graph equal the CPU's", lambda: _same_sums(device, "cora" if quick else "arxiv"))
        check("a killed run that goes on gives the same table", killed.result)
        check("an exported network gives the CPU's integers", lambda: _same_network(device, runs / "whole"))
        check("torch.compile gives the same logits", lambda: _compiled(device, runs / "whole"))
        check("an exported program gives the same logits", lambda: _program(device, runs / "whole"))
        if data_root is not None:
            for place in dict.fromkeys((device, "cpu")):
                check(f"train on Cora, {place}", lambda place=place: _train_cora(place, data_root, quick, runs))
        if not quick:  # last: it takes longest, for each test compiles kernels of its own
            check("tests marked gpu", lambda: _pytest(["-m", "gpu", "tests"], device, quick, 240))
    return checks


def _environment(threads: int | None = None) -> dict[str, str]:
    # The package is the installed one, not the folder of the same name in the tree.
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
    # Threads of processes that run side by side would wait for one another's.
    return environment if threads is None else {**environment, "OMP_NUM_THREADS": str(threads)}


def _pytest(what: list[str], device: str, quick: bool, seconds: int) -> tuple[bool, str]:
    options = ["-v", "--tb=short", "-p", "no:cacheprovider", "-p", "no:benchmark", "-W", "default", "--no-header"]
    options += ["-k", "every_range and 4-True"] if quick else ["-n", "12" if device == "cuda" else "2"]
    command = [sys.executable, "-m", "pytest", *what, *options]
    try:
        ended = subprocess.run(
            command, cwd=ROOT, env=_environment(1), capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        output = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        failed = "\n".join(line for line in output.splitlines() if "FAILED" in line or "ERROR" in line)
        return False, f"{output[-TAIL:]}\n{failed}\nstopped after {seconds} s"
    none_there = 5
    return ended.returncode in (0, none_there), (ended.stdout + ended.stderr)[-TAIL:]


def _same_sums(device: str, name: str) -> tuple[bool, str]:
    rowptr, col = named_graph(name, device)
    weight = torch.randint(0, 256, (col.numel(),), dtype=torch.uint8, device=device)
    on_cpu, wrong = (rowptr.cpu(), col.cpu(), weight.cpu()), []
    for bits in BITS:
        for width in (100, 128, 256):
            x = random_rows(rowptr.numel() - 1, width, IntegerRange(bits, True), device)
            there = kernels.aggregate(rowptr, col, weight, x).cpu()
            if not torch.equal(there, kernels.aggregate(*on_cpu, PackedRows(x.data.cpu(), width, x.range))):
                wrong.append(f"{bits} bits of width {width}")
    return not wrong, f"{name}: different at {wrong}" if wrong else f"{name}: 12 of 12 equal"


def _start(options: list[str], folder: Path, log: Path, threads: int | None) -> subprocess.Popen[bytes]:
    # One cache each: what one run has trained must not help another.
    command = [*COMMAND, "train", *options, "--cache", str(log.with_suffix(".cache"))]
    with log.open("ab") as output:
        return subprocess.Popen(command, cwd=folder, env=_environment(threads), stdout=output, stderr=subprocess.STDOUT)


def _wait(process: subprocess.Popen[bytes], log: Path, until: float) -> None:
    """Wait for a command; raise with its output if it fails, and kill it if it takes too long."""
    try:
        code = process.wait(max(1.0, until - time.monotonic()))
    finally:
        process.kill()
        process.wait()
    if code:
        raise RuntimeError(f"exit status {code}: {log.read_text()[-TAIL:]}")


def _killed_and_resumed(device: str, episodes: str, runs: Path, until: float) -> tuple[bool, str]:
    """Run once whole and, beside it, once killed while it searches, and resumed."""
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
    return tables[0] == tables[1], f"{logs['whole'].read_text()[-TAIL:]}\nresumed: {tables[1]}{ending}"


def _table(folder: Path) -> list[dict[str, Any]]:
    """Return what a run found, without what time has a part in."""
    finalists = json.loads((folder / "result.json").read_text())["finalists"]
    kept = ("accuracy", "bitops", "reduction")
    return [
        {"label": one["label"], "test_accuracy": one["test_accuracy"], **{key: one["evaluation"][key] for key in kept}}
        for one in finalists
    ]


def _exported(run: Path) -> tuple[mixq_rl.IntegerModel, mixq_rl.GraphTask]:
    return mixq_rl.IntegerModel.load(run / "model"), mixq_rl.load_task("citation")


def _same_network(device: str, run: Path) -> tuple[bool, str]:
    model, task = _exported(run)
    expected = model(task.x, task.edge_index)
    got = model.to(device)(task.x.to(device), task.edge_index.to(device)).cpu()
    return torch.equal(got, expected), f"allocation {model.allocation}: {(got != expected).sum()} logits differ"


def _compiled(device: str, run: Path) -> tuple[bool, str]:
    model, task = _exported(run)
    model, x, edge_index = model.to(device), task.x.to(device), task.edge_index.to(device)
    expected = model(x, edge_index)
    got = torch.compile(lambda x, edge_index: model(x, edge_index))(x, edge_index)
    return torch.equal(got, expected), f"{(got != expected).sum()} logits differ"


def _program(device: str, run: Path) -> tuple[bool, str]:
    model, task = _exported(run)
    model, x, edge_index = model.to(device), task.x.to(device), task.edge_index.to(device)
    got = mixq_rl.export_program(model).module()(x, edge_index)
    expected = model(x, edge_index)
    return torch.equal(got, expected), f"{(got != expected).sum()} logits differ"


def _train_cora(device: str, data_root: str, quick: bool, runs: Path) -> tuple[bool, str]:
    name, episodes = f"cora-{device}", _episodes(quick)
    options = ["--device", device, "--dataset", "Cora", "--data-root", str(Path(data_root).resolve())]
    options += ["--episodes", episodes, "--run-dir", str(runs / name)]
    log = runs / f"{name}.log"
    started = time.monotonic()
    _wait(_start(options, runs, log, 1 if quick else None), log, started + 150)
    return True, f"{log.read_text()[-TAIL:]}\n{time.monotonic() - started:.1f} s of {episodes} episodes"


def _episodes(quick: bool) -> str:
    return "8" if quick else "64"
