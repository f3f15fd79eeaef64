"""Descriptions of the machine, the package versions and the commit of a measurement."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from mixq_rl.kernels import backends

__all__ = ["describe_machine", "git_commit", "package_versions"]

_PACKAGES = (
    "mixq-rl",
    "torch",
    "torch_geometric",
    "numpy",
    "scipy",
    "safetensors",
    "triton",
    "gymnasium",
    "stable-baselines3",
    "sb3-contrib",
    "optuna",
    "tensorboard",
)


def describe_machine() -> dict[str, Any]:
    """Return a description of this machine in plain values.

    ``kernels`` is the instruction set of the integer kernels, or ``"reference"`` if they are not built. ``threads`` is
    torch's number of threads. ``gpu`` is None without a GPU.
    """
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "kernels": backends()[0],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def package_versions() -> dict[str, str | None]:
    """Return the versions of this package and of the packages that it uses; None: not installed."""
    return {name: _version(name) for name in _PACKAGES}


def git_commit() -> str | None:
    """Return the commit of this package's source, with ``-dirty`` if files have changed; None outside a checkout."""
    folder = Path(__file__).parent
    try:
        tracked = _git(folder, "ls-files", Path(__file__).name)
        return _git(folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") if tracked else None
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    found = subprocess.run(  # noqa: S603  the user's own git, on the package's own folder
        ["git", "-C", str(folder), *arguments],  # noqa: S607
        capture_output=True,
        check=True,
        text=True,
    )
    return found.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
