"""Downloads the files that a GPU machine without a network needs: wheels of this package and its dependencies, Cora.

    python benchmarks/fetch_wheels.py --python python3.12 --data-root data

The folder is the argument of ``benchmarks/gpu.py --wheels``, on a machine that has torch, PyTorch Geometric, Triton and
their dependencies. ``--python`` is an interpreter of the version and platform of that machine: it builds the C++
kernels.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from wheels import RECORD, ROOT, source_hash

# The versions are those of constraints.txt.
PACKAGES = (
    "Farama-Notifications",
    "Mako",
    "SQLAlchemy",
    "alembic",
    "annotated-doc",
    "annotated-types",
    "colorlog",
    "gymnasium",
    "optuna",
    "pydantic",
    "pydantic_core",
    "rich",
    "sb3_contrib",
    "stable_baselines3",
    "typer",
    "typing-inspection",
    "typing_extensions",
)
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
    wanted = [f"{name}=={pinned[name]}" for name in PACKAGES]
    platforms = [part for platform in PLATFORMS for part in ("--platform", platform)]
    options = ["--no-deps", "--only-binary=:all:", "--python-version", version, "--implementation", "cp", *platforms]
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", *options, "-d", str(output), *wanted], check=True)


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
