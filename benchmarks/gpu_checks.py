"""Whether a GPU gives the integers that it should: tests, runs of the command, and exported networks."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from wheels import ROOT

__all__ = ["measure_checks"]

COMMAND = (sys.executable, "-c", "from mixq_rl.agents.cli import main; main()")
PYTEST = (sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:benchmark", "--tb=short")
TESTS = {
    "CUDA C++ kernels against int64": ("tests/mixq_rl/kernels/test_cuda_backend.py", "-n", "2"),
    "Triton kernels against int64": ("tests/mixq_rl/kernels/test_triton_backend.py", "-n", "6"),
    "tests marked gpu": ("tests", "-m", "gpu", "-n", "3"),
}
TEST_LIMIT = 110
RUN_LIMIT = 120
EXECUTED = """
import json, sys, torch, mixq_rl
model = mixq_rl.IntegerModel.load(sys.argv[1])
task = mixq_rl.load_task(sys.argv[2], sys.argv[3])
expected = model(task.x, task.edge_index)
there, x, edges = model.to(sys.argv[4]), task.x.to(sys.argv[4]), task.edge_index.to(sys.argv[4])
found = {"the same logits": torch.equal(there(x, edges).cpu(), expected)}
def call(name, function):
    try:
        found[name] = bool(torch.equal(function().cpu(), expected))
    except Exception as error:
        found[name] = f"{type(error).__name__}: {str(error)[:300]}"
call("torch.export program", lambda: mixq_rl.export_program(there).module()(x, edges))
compiled = torch.compile(lambda x, edges: there(x, edges))
call("torch.compile", lambda: compiled(x, edges))
print(json.dumps(found))
"""


def measure_checks(device: str, data_root: Path, quick: bool) -> dict[str, Any]:
    """Return each check's outcome: whether it passed, what it said, and its seconds.

    Runs of the command on the device come first, one by one; then all else at a time, the CPU's runs on four threads.
    """
    few = ["--episodes", "16" if quick else "64"]
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        known = ["--data-root", str(data_root), *few]

        def train(dataset: str, where: str, folder_name: str, *more: str) -> list[str]:
            cache = ["--cache", str(folder / f"prepared-{folder_name}")]
            return [
                "train",
                "--dataset",
                dataset,
                "--device",
                where,
                "--run-dir",
                str(folder / folder_name),
                *cache,
                *more,
            ]

        for dataset in ("citation", "Cora"):
            results[f"train {dataset} on {device}"] = _run(train(dataset, device, dataset, *known))
        later = {
            "a run that was killed resumes": lambda: _resumed(
                train("citation", device, "killed", "--seed", "1", *known), folder / "killed"
            ),
            "train citation again, prepared anew": lambda: _run(train("citation", device, "again", *known)),
            **{
                f"the network of {dataset} on both devices": lambda dataset=dataset: _executed(
                    folder / dataset / "model", dataset, data_root, device
                )
                for dataset in ("citation", "Cora")
            },
        }
        if device == "cuda":
            later |= {
                f"train {dataset} on cpu": lambda dataset=dataset: _run(
                    train(dataset, "cpu", f"{dataset}-cpu", *known), OMP_NUM_THREADS="4"
                )
                for dataset in ("citation", "Cora")
            } | {name: lambda options=options: _tests(options) for name, options in TESTS.items()}
        with ThreadPoolExecutor(len(later) if device == "cuda" else 1) as pool:
            running = {name: pool.submit(_safely, call) for name, call in later.items()}
            results |= {name: call.result() for name, call in running.items()}
        results |= _compared(folder / "citation" / "allocations.csv", folder / "again" / "allocations.csv")
    for name, result in results.items():
        outcome = "passed" if result["passed"] else f"FAILED: {result['said'][-700:]}"
        print(f"  {name}: {outcome} in {result['seconds']:.1f} s", flush=True)
    return results


def _safely(check: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return check()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return {"passed": False, "said": f"{type(error).__name__}: {error}", "seconds": 0.0}


def _tests(options: tuple[str, ...]) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        ended = subprocess.run(
            [*PYTEST, *options], cwd=ROOT, capture_output=True, text=True, timeout=TEST_LIMIT, check=False
        )
        said, passed = ended.stdout, ended.returncode == 0
    except subprocess.TimeoutExpired as error:
        said, passed = f"{(error.stdout or b'').decode()[-3000:]}\nstopped after {TEST_LIMIT} s", False
    counted = ", ".join(re.findall(r"\d+ (?:passed|failed|skipped|error\w*|deselected)", said))
    return {"passed": passed, "said": counted if passed else said[-8000:], "seconds": time.perf_counter() - started}


def _compared(one: Path, other: Path) -> dict[str, Any]:
    if not one.is_file() or not other.is_file():
        return {}
    same = _without_times(one.read_text()) == _without_times(other.read_text())
    said = one.read_text() if same else f"{one.read_text()}\n{other.read_text()}"
    return {"the same seed gives the same table": {"passed": same, "said": said[:4000], "seconds": 0.0}}


def _without_times(table: str) -> str:
    """Return a table without its columns of seconds."""
    rows = [line.split(",") for line in table.splitlines()]
    kept = [place for place, name in enumerate(rows[0]) if "second" not in name]
    return "\n".join(",".join(row[place] for place in kept) for row in rows)


def _run(arguments: list[str], **environment: str) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        ended = subprocess.run(
            [*COMMAND, *arguments],
            cwd=tempfile.gettempdir(),
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT,
            env={**os.environ, **environment},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode() if isinstance(error.stdout, bytes) else str(error.stdout)
        return {"passed": False, "said": f"stopped after {RUN_LIMIT} s: {said[-3000:]}", "seconds": RUN_LIMIT}
    seconds = time.perf_counter() - started
    said = ended.stdout if ended.returncode == 0 else ended.stdout + ended.stderr
    return {"passed": ended.returncode == 0, "said": said[-5000:], "seconds": seconds}


def _resumed(arguments: list[str], run: Path) -> dict[str, Any]:
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=tempfile.gettempdir(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    started = time.perf_counter()
    # Killed in the search: its first checkpoint is there.
    while process.poll() is None and time.perf_counter() - started < RUN_LIMIT and not _has_checkpoint(run):
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if not run.is_dir():
        return {"passed": False, "said": "there is no run folder to resume", "seconds": 0.0}
    kept = sorted(str(path.relative_to(run)) for path in run.rglob("*"))[:40]
    result = _run(["train", "--resume", str(run)])
    return {**result, "said": f"killed with {kept}\n" + result["said"]}


def _has_checkpoint(run: Path) -> bool:
    return any("checkpoint" in str(path) for path in run.rglob("*")) if run.is_dir() else False


def _executed(model: Path, dataset: str, data_root: Path, device: str) -> dict[str, Any]:
    started = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", EXECUTED, str(model), dataset, str(data_root), device],
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT,
    )
    seconds = time.perf_counter() - started
    if ended.returncode:
        return {"passed": False, "said": ended.stderr[-3000:], "seconds": seconds}
    found = json.loads(ended.stdout.splitlines()[-1])
    return {"passed": all(value is True for value in found.values()), "said": json.dumps(found), "seconds": seconds}
