"""Checks of the integers on a GPU: tests on the card, equality with the CPU, and the command end to end."""

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from contestants import BITS, random_rows
from gpu_runs import (
    TAIL,
    command,
    environment,
    killed_and_resumed,
    same_allocations,
    same_finalists,
    train_cora,
)
from graphs import named_graph
from wheels import ROOT

import mixq_rl
from mixq_rl import kernels
from mixq_rl.quantization import IntegerRange, PackedRows

__all__ = ["run_checks"]

KERNEL_TESTS = [f"tests/mixq_rl/kernels/test_{name}_backend.py" for name in ("cuda", "triton")]
MIXED_BITS = ((8, 4, 2, 1), (4, 4, 8, 2), (2, 8, 1, 4))

Check = Callable[[], tuple[bool, str]]
Checks = dict[str, dict[str, Any]]


def run_checks(
    device: str,
    data_root: str | None,
    quick: bool,
    only: Sequence[str],
    save: Callable[[Checks], None],
    until: float,
) -> None:
    """Find, and save after each check, by its name: whether it passed, a message, seconds.

    Args:
        device: cpu or cuda.
        data_root: where Cora is; None: the command runs on the built-in citation graph alone.
        quick: one test of the kernels and few episodes.
        only: parts of names of checks; empty: all of them.
        save: is given the checks that were made after each one.
        until: time of :func:`time.monotonic` after which no check is begun.
    """
    checks: Checks = {}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(8) as beside:
        offered = _checks(device, data_root, quick, Path(folder), until)
        wanted = {name: one for name, one in offered.items() if not only or any(part in name for part in only)}
        # Beside each other: most of the time of processes of their own goes into compiling kernels.
        begun = {name: beside.submit(_outcome, check, until) for name, (alone, check) in wanted.items() if alone}
        for name, (_, check) in wanted.items():
            outcome = begun[name].result() if name in begun else _outcome(check, until)
            checks[name] = outcome
            verdict = "passed" if outcome["passed"] else "FAILED"
            last = (outcome["message"].strip().splitlines() or [""])[-1][:160]
            print(f"  {verdict}: {name}, {outcome['seconds']} s: {last}", flush=True)
            save(checks)


def _outcome(check: Check, until: float) -> dict[str, Any]:
    started = time.monotonic()
    if started > until:
        passed, message = False, "not run: no time was left"
    else:
        try:
            passed, message = check()
        except Exception as error:  # a check that breaks has failed, and the others go on
            passed, message = False, f"{type(error).__name__}: {error}"[-TAIL:]
    return {"passed": passed, "message": message, "seconds": round(time.monotonic() - started, 1)}


def _checks(device: str, data_root: str | None, quick: bool, runs: Path, until: float) -> dict[str, tuple[bool, Check]]:
    """Return, by name, whether a check runs in a process of its own, and the check; later ones read the runs before."""
    episodes, threads = _episodes(quick), 1 if quick else 4
    checks: dict[str, tuple[bool, Check]] = {
        "tests of the kernels": (True, lambda: _pytest(KERNEL_TESTS, device, quick, 150)),
        "mixq-rl doctor": (True, lambda: _doctor(device)),
        "a killed run that goes on gives the same table": (
            True,
            lambda: killed_and_resumed(device, episodes, runs, until),
        ),
        "citation's networks give the CPU's integers": (False, lambda: same_finalists(runs / "whole")),
        "citation's allocations give the CPU's integers": (False, lambda: same_allocations(runs / "whole")),
        "sums of a large graph equal the CPU's": (False, lambda: _same_sums(device, "cora" if quick else "arxiv")),
        "torch.compile gives the same logits": (False, lambda: _compiled(device)),
        "an exported program gives the same logits": (False, lambda: _program(device)),
    }
    if data_root is not None:
        for place in dict.fromkeys((device, "cpu")):
            checks[f"train on Cora, {place}"] = (True, partial(train_cora, place, episodes, data_root, threads, runs))
        on_device = runs / f"cora-{device}"
        checks["Cora's networks give the CPU's integers"] = (False, lambda: same_finalists(on_device))
        checks["Cora's allocations give the CPU's integers"] = (False, lambda: same_allocations(on_device))
    if not quick:
        checks["tests marked gpu"] = (True, lambda: _pytest(["-m", "gpu", "tests"], device, quick, 240))
    return checks


def _doctor(device: str) -> tuple[bool, str]:
    code, output = command("doctor", seconds=120)
    card = torch.cuda.get_device_name(0) if device == "cuda" else "cpu"
    return code == 0 and (device == "cpu" or card in output), output[-TAIL:]


def _pytest(what: list[str], device: str, quick: bool, seconds: int) -> tuple[bool, str]:
    options = ["-v", "--tb=short", "-p", "no:cacheprovider", "-p", "no:benchmark", "-W", "default", "--no-header"]
    options += ["-k", "every_range and 4-True"] if quick else ["-n", "8" if device == "cuda" else "2"]
    program = [sys.executable, "-m", "pytest", *what, *options]
    try:
        ended = subprocess.run(
            program, cwd=ROOT, env=environment(1), capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        output = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        failed = "\n".join(line for line in output.splitlines() if "FAILED" in line or "ERROR" in line)
        return False, f"{output[-TAIL:]}\n{failed}\nstopped after {seconds} s"
    passed, output = ended.returncode == 0, ended.stdout + ended.stderr
    return passed, output.strip().splitlines()[-1] if passed else output[-4 * TAIL :]


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


def _networks(device: str) -> tuple[list[mixq_rl.IntegerModel], mixq_rl.GraphTask]:
    """Return networks whose bits differ from layer to layer and from each other's."""
    task = mixq_rl.load_task("citation", device=device)
    model = mixq_rl.fit(mixq_rl.build_model("gcn", task, hidden_channels=16), task, epochs=3)
    evaluator = mixq_rl.PostTrainingEvaluator(model, task, bit_widths=(1, 2, 4, 8))
    count = len(evaluator.components)
    return [evaluator.freeze(list(itertools.islice(itertools.cycle(bits), count))) for bits in MIXED_BITS], task


def _compiled(device: str) -> tuple[bool, str]:
    networks, task = _networks(device)
    different = 0
    for network in networks:
        compiled = torch.compile(lambda x, edge_index, network=network: network(x, edge_index))
        expected = network(task.x, task.edge_index)
        different += int((compiled(task.x, task.edge_index) != expected).sum())
    return not different, f"{len(networks)} networks: {different} logits differ"


def _program(device: str) -> tuple[bool, str]:
    networks, task = _networks(device)
    different = 0
    for network in networks:
        program = mixq_rl.export_program(network).module()
        different += int((program(task.x, task.edge_index) != network(task.x, task.edge_index)).sum())
    return not different, f"{len(networks)} networks: {different} logits differ"


def _episodes(quick: bool) -> str:
    return "8" if quick else "64"
