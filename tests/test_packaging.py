"""What a user gets: the wheel, what it puts where, and what the engine needs."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"mixq_rl": "mixq_rl", "mixq_rl/envs": "envs", "mixq_rl/agents": "agents"}


@pytest.mark.slow
def test_wheel_holds_every_module_and_one_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"mixq_rl"}
    expected = {"mixq_rl/py.typed", "mixq_rl/agents/report/style.css", "mixq_rl/agents/report/chart.js"}
    for package, folder in FOLDERS.items():
        expected |= {
            f"{package}/{path.relative_to(ROOT / folder).as_posix()}" for path in (ROOT / folder).rglob("*.py")
        }
    assert expected <= names
    assert any(name.startswith("mixq_rl/kernels/_cpu.") for name in names)


@pytest.mark.slow
def test_wheel_imports_from_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import mixq_rl, mixq_rl.envs, mixq_rl.agents.cli;"
        "print(mixq_rl.__file__, mixq_rl.envs.__file__, mixq_rl.agents.__file__)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    for file in result.stdout.split():
        assert Path(file).is_relative_to(tmp_path)


def test_engine_needs_no_reinforcement_learning() -> None:
    program = (
        "import sys, mixq_rl; assert mixq_rl.IntegerModel and mixq_rl.SupernetEvaluator;"
        "absent = {'gymnasium', 'stable_baselines3', 'torch_geometric', 'mixq_rl.envs', 'mixq_rl.agents'};"
        "loaded = absent & set(sys.modules);"
        "assert not loaded, loaded; mixq_rl.agents.PPOAgent"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.parametrize(("layer", "forbidden"), [("mixq_rl", ("envs", "agents")), ("envs", ("agents",))])
def test_dependencies_point_one_way(layer: str, forbidden: tuple[str, ...]) -> None:
    for path in (ROOT / layer).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            imported = []
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno}: relative import"
                imported = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in forbidden:
                assert not any(f"{module}.".startswith(f"mixq_rl.{name}.") for module in imported), (
                    f"{path}:{node.lineno}"
                )
