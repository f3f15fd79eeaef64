"""Wheels for a machine without a network: the sources they were built from, and their use."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["RECORD", "ROOT", "source_hash", "use_wheels"]

ROOT = Path(__file__).parent.parent
RECORD = "sources.sha256"
_IN_USE = "MIXQ_RL_WHEELS_IN_USE"
_KINDS = {".py", ".cpp", ".hpp", ".cu", ".json", ".safetensors", ".css", ".js"}


def source_hash() -> str:
    """Return a hash of everything that the wheel of this package is built from."""
    files = [ROOT / "pyproject.toml", ROOT / "setup.py"]
    for folder in ("mixq_rl", "envs", "agents"):
        files += sorted(path for path in (ROOT / folder).rglob("*") if path.suffix in _KINDS)
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return total.hexdigest()


def use_wheels(folder: Path) -> None:
    """Install the wheels of a folder for this program alone, and start it again with them.

    Raises:
        SystemExit: for wheels built from other sources than those of this tree.
    """
    if os.environ.get(_IN_USE):
        return
    if (folder / RECORD).read_text().strip() != source_hash():
        sys.exit(f"{folder} holds a wheel of other sources than these: run benchmarks/fetch_wheels.py again")
    target = tempfile.mkdtemp(prefix="site-")
    options = ["-q", "--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--upgrade"]
    wheels = [str(path) for path in sorted(folder.glob("*.whl"))]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", target, *wheels], check=True)
    paths = [target, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), _IN_USE: target}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.argv], environment)  # noqa: S606
