"""Downloads the files that a GPU machine without a network needs: wheels of this package and its dependencies, Cora.

    python benchmarks/fetch_wheels.py --python python3.12 --data-root data

The folder is the argument of ``benchmarks/gpu.py --wheels``, on a machine that has torch, PyTorch Geometric, Triton and
their dependencies. ``--python`` is an interpreter of the version and platform of that machine: it builds the C++
kernels. Run it where this package is installed with its extras ``rl`` and ``dev``: what is fetched is what they need.
"""

import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Annotated

import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from wheels import RECORD, ROOT, source_hash

# What the machine has. Only what the package needs beside these and their dependencies is fetched.
PRESENT = ("torch", "torch_geometric", "triton", "tensorboard", "matplotlib", "scipy", "safetensors")
NEWER = {"typing-extensions"}  # there, too, but older than pydantic wants
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
COPIED = ("mixq_rl", "envs", "agents")
CORA = Path("planetoid/Cora/raw")
LIMIT = 40 * 2**20


def main(
    python: Annotated[str, typer.Option(help="Interpreter that builds the wheel of this package.")] = "python3.12",
    data_root: Annotated[Path | None, typer.Option(envvar="MIXQ_RL_DATA", help="Where Cora is.")] = None,
    output: Annotated[Path, typer.Option(help="Folder that is written anew.")] = ROOT / ".wheels",
) -> None:
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    tag = _version_tag(python)
    _download(output, tag)
    _build(output, python)
    (output / RECORD).write_text(source_hash() + "\n")
    if data_root is not None:
        shutil.copytree(data_root / CORA, output / "data" / CORA)
    files = [path for path in output.rglob("*") if path.is_file()]
    for path in files:
        print(f"{path.stat().st_size:>10,}  {path.relative_to(output)}")
    total = sum(path.stat().st_size for path in files)
    print(f"{total / 2**20:.1f} MiB in {output}")
    if total > LIMIT:
        sys.exit(f"more than {LIMIT / 2**20:.0f} MiB: too much to carry")


def _version_tag(python: str) -> str:
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


def _download(output: Path, version: str) -> None:
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    pinned = {canonicalize_name(name): version for name, version in pinned.items()}
    missing = _closure("mixq-rl[rl]") - _closure(*PRESENT) - {"mixq-rl"} | NEWER
    wanted = [f"{name}=={pinned[name]}" for name in sorted(missing)]
    platforms = [part for platform in PLATFORMS for part in ("--platform", platform)]
    options = ["--no-deps", "--only-binary=:all:", "--python-version", version, "--implementation", "cp", *platforms]
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", *options, "-d", str(output), *wanted], check=True)


def _closure(*requirements: str) -> set[str]:
    """Return the names of installed distributions that these need, themselves included."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(requirement) for requirement in requirements]
    while waiting:
        wanted = waiting.pop()
        key = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if key in seen:
            continue
        seen.add(key)
        for line in distribution(wanted.name).requires or ():
            needed = Requirement(line)
            extras = {"", *wanted.extras}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    return {name for name, _ in seen}


def _build(output: Path, python: str) -> None:
    """Build the wheel of this package, from a copy: what an earlier build left behind must not help."""
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
            shutil.copytree(ROOT / name, Path(folder) / name, ignore=ignored)
        for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, folder)
        subprocess.run([python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(output), folder], check=True)
    (wheel,) = output.glob("mixq_rl-*.whl")
    if wheel.name.endswith("none-any.whl"):
        sys.exit(f"{wheel.name} holds no C++ kernels: {python} found no compiler")


if __name__ == "__main__":
    typer.run(main)
