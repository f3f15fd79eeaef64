"""Whether a GPU gives the integers that it should: tests, runs of the command, and exported networks."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wheels import ROOT

__all__ = ["measure_checks"]

COMMAND = (sys.executable, "-c", "from mixq_rl.agents.cli import main; main()")
PYTEST = (sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:benchmark", "--tb=short")
TESTS = {
    "CUDA C++ kernels against int64": ("tests/mixq_rl/kernels/test_cuda_backend.py", "-n", "4"),
    "Triton kernels against int64": ("tests/mixq_rl/kernels/test_triton_backend.py", "-n", "7"),
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
    """Return each check's outcome: whether it passed, what it said, and its seconds."""
    results: dict[str, Any] = {}
    if device == "cuda":
        results |= _tests()
    with tempfile.TemporaryDirectory() as folder:
        for name, result in _runs(device, data_root, Path(folder), quick):
            results[name] = result
            outcome = "passed" if result["passed"] else f"FAILED: {result['said'][-600:]}"
            print(f"  {name}: {outcome} in {result['seconds']:.1f} s", flush=True)
    return results


def _tests() -> dict[str, Any]:
    started = time.perf_counter()
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    running = {
        name: subprocess.Popen(
            [*PYTEST, *options], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for name, options in TESTS.items()
    }
    results = {}
    for name, process in running.items():
        left = max(1.0, TEST_LIMIT - (time.perf_counter() - started))
        try:
            said, _ = process.communicate(timeout=left)
        except subprocess.TimeoutExpired:
            process.kill()
            said = process.communicate()[0] + f"\nstopped after {TEST_LIMIT} s"
        counted = re.findall(r"\d+ (?:passed|failed|skipped|error\w*|deselected)", said)
        seconds = time.perf_counter() - started
        passed = process.returncode == 0
        results[name] = {"passed": passed, "said": ", ".join(counted) if passed else said[-6000:], "seconds": seconds}
        print(f"  {name}: {', '.join(counted)} in {seconds:.1f} s", flush=True)
    return results


def _runs(device: str, data_root: Path, folder: Path, quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    few = ["--episodes", "16", "--epochs", "5"] if quick else ["--episodes", "64"]
    known = ["--data-root", str(data_root), "--cache", str(folder / "prepared"), *few]
    other = "cpu"
    for dataset in ("citation", "Cora"):
        for where in dict.fromkeys((device, other)):
            run = folder / f"{dataset}-{where}"
            yield (
                f"train {dataset} on {where}",
                _run(["train", "--dataset", dataset, "--device", where, "--run-dir", str(run), *known]),
            )
        model = folder / f"{dataset}-{device}" / "model"
        if model.is_dir():
            yield f"the network of {dataset} on both devices", _executed(model, dataset, data_root, device)
    killed = folder / "killed"
    yield (
        "a run that was killed resumes",
        _resumed(
            ["train", "--dataset", "citation", "--device", device, "--seed", "1", "--run-dir", str(killed), *known],
            killed,
        ),
    )
    again = ["train", "--dataset", "citation", "--device", device, "--run-dir", str(folder / "again"), *few]
    cache = ["--cache", str(folder / "other")]
    yield "train citation again, prepared anew", _run([*again, *cache])
    tables = [folder / name / "allocations.csv" for name in (f"citation-{device}", "again")]
    if all(table.is_file() for table in tables):
        same = len({_without_times(table.read_text()) for table in tables}) == 1
        yield (
            "the same seed gives the same table",
            {"passed": same, "said": tables[0].read_text()[:400], "seconds": 0.0},
        )


def _without_times(table: str) -> str:
    """Return a table without its columns of seconds."""
    rows = [line.split(",") for line in table.splitlines()]
    kept = [place for place, name in enumerate(rows[0]) if "second" not in name]
    return "\n".join(",".join(row[place] for place in kept) for row in rows)


def _run(arguments: list[str]) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        ended = subprocess.run(
            [*COMMAND, *arguments], cwd=tempfile.gettempdir(), capture_output=True, text=True, timeout=RUN_LIMIT
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
