"""Whether a GPU gives the right integers: tests on the card, equality with the CPU's, and the command end to end."""

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

    episodes = _episodes(quick)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as beside:
        runs = Path(folder)
        # Beside each other, for none is timed, and most of their time compiles kernels.
        killed = beside.submit(killed_and_resumed, device, episodes, runs, until)
        marked = None if quick else beside.submit(_pytest, ["-m", "gpu", "tests"], device, quick, 240)
        check("tests of the kernels", lambda: _pytest(KERNEL_TESTS, device, quick, 150))
        check("sums of a large graph equal the CPU's", lambda: _same_sums(device, "cora" if quick else "arxiv"))
        check("mixq-rl doctor", lambda: _doctor(device))
        check("a killed run that goes on gives the same table", killed.result)
        check("its networks give the CPU's integers", lambda: same_finalists(runs / "whole"))
        check("its allocations give the CPU's integers", lambda: same_allocations(runs / "whole"))
        check("torch.compile gives the same logits", lambda: _compiled(device, runs / "whole"))
        check("an exported program gives the same logits", lambda: _program(device, runs / "whole"))
        if marked is not None:
            check("tests marked gpu", marked.result)
        if data_root is not None:
            threads = 1 if quick else None
            for place in dict.fromkeys((device, "cpu")):
                check(
                    f"train on Cora, {place}",
                    lambda place=place: train_cora(place, episodes, data_root, threads, runs),
                )
            check("Cora's networks give the CPU's integers", lambda: same_finalists(runs / f"cora-{device}"))
            check("Cora's allocations give the CPU's integers", lambda: same_allocations(runs / f"cora-{device}"))
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
    none_there = 5
    passed, output = ended.returncode in (0, none_there), ended.stdout + ended.stderr
    return passed, output[-TAIL if passed else -4 * TAIL :]


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


def _exported(run: Path) -> tuple[mixq_rl.IntegerModel, mixq_rl.GraphTask]:
    return mixq_rl.IntegerModel.load(run / "model"), mixq_rl.load_task("citation")


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


def _episodes(quick: bool) -> str:
    return "8" if quick else "64"
