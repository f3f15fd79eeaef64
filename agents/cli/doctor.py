"""Command ``mixq-rl doctor``: check of the installation and the machine."""

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mixq_rl.agents.cli import options
from mixq_rl.agents.cli.fields import Given, options_of
from mixq_rl.agents.cli.finding import Finding, FindingRow, findings_table
from mixq_rl.agents.cli.gpu_findings import examine_gpu
from mixq_rl.agents.cli.output import output
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig
from mixq_rl.kernels import backends
from mixq_rl.machine import describe_machine, package_versions
from mixq_rl.printable import shell_word

__all__ = ["doctor", "examine"]

_LEARNING = ("gymnasium", "stable-baselines3", "sb3-contrib", "optuna", "tensorboard")
_ENOUGH_GIB = 1.0


@options_of(EvaluatorConfig, only=("data_root",))
def doctor(*, given: Given[EvaluatorConfig], quiet: options.Quiet = False, as_json: options.Json = False) -> None:
    """Check packages, kernels, GPU, data and disk, and say how to install or repair what is missing.

    Example: mixq-rl doctor --data-root data
    """
    with output(quiet, as_json) as out:
        found = list(examine(Path(given.config().data_root)))
        out.show(findings_table(FindingRow(bool(f.remedy), f.subject, f.found, f.remedy) for f in found))
        out.conclude({"findings": [asdict(finding) for finding in found], "hardware": describe_machine()})


def examine(data_root: Path) -> Iterator[Finding]:
    """Yield findings about versions, kernels, threads, GPU, data and disk."""
    versions, machine = package_versions(), describe_machine()
    yield Finding("mixq-rl", f"{versions['mixq-rl']}, Python {machine['python']} on {machine['system']}")
    yield _packages(versions, ("torch", "torch_geometric", "numpy", "safetensors"), "pip install mixq-rl")
    yield _packages(versions, _LEARNING, "pip install 'mixq-rl[rl]'")
    yield _kernels(machine)
    yield Finding("threads", f"{machine['threads']} of {machine['cores']} cores (OMP_NUM_THREADS sets them)")
    yield from examine_gpu(versions["triton"])
    yield _data(data_root)
    yield _disk()


def _packages(versions: dict[str, str | None], names: tuple[str, ...], remedy: str) -> Finding:
    missing = [name for name in names if versions[name] is None]
    found = ", ".join(f"{name} {versions[name]}" for name in names if versions[name] is not None)
    subject = "reinforcement learning" if names is _LEARNING else "engine"
    return Finding(subject, found or "nothing", f"{', '.join(missing)} missing: {remedy}" if missing else "")


def _kernels(machine: dict[str, Any]) -> Finding:
    chosen, *others = backends()
    if chosen == "reference":
        return Finding(
            "integer kernels",
            "not built: integers are executed by torch, many times slower",
            "install a C++17 compiler (g++ or clang++), then: pip install --force-reinstall --no-deps mixq-rl",
        )
    rest = f" (also {', '.join(other for other in others if other != 'reference')})" if len(others) > 1 else ""
    return Finding("integer kernels", f"C++, {chosen}{rest}, on {machine['processor'] or machine['machine']}")


def _data(root: Path) -> Finding:
    if not root.is_dir():
        remedy = (
            f"mkdir {shell_word(root)} to have datasets downloaded into it, or name another with --data-root or "
            "MIXQ_RL_DATA"
        )
        return Finding("data", f"no folder {str(root)!r}; citation and CSL are built in", remedy)
    names = sorted(path.parent.name for path in root.glob("**/raw") if path.is_dir() and any(path.iterdir()))
    if not names:
        return Finding("data", f"{str(root)!r} holds none yet; what is asked for is downloaded into it")
    return Finding("data", f"{', '.join(names)} in {str(root)!r}; citation and CSL are built in")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    remedy = "" if free >= _ENOUGH_GIB else "runs and trained networks may not fit: make room"
    return Finding("disk", f"{free:.1f} GiB free here", remedy)
