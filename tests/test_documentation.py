"""The examples in docstrings and README run."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import mixq_rl

ROOT = Path(__file__).parent.parent
MODULES = [module.name for module in pkgutil.walk_packages(mixq_rl.__path__, "mixq_rl.")]


@pytest.mark.parametrize("name", [*MODULES, "mixq_rl.envs.bit_allocation", "mixq_rl.agents.ppo"])
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def examples(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL)


SHORT = [
    (path.name, example)
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    for example in examples(path)
    if "PPOAgent" not in example
]


@pytest.mark.parametrize(("name", "example"), SHORT, ids=[f"{name}-{index}" for index, (name, _) in enumerate(SHORT)])
def test_short_python_examples(
    name: str, example: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(example, name, "exec"), {})  # noqa: S102  the project's own text
    assert capsys.readouterr().out


def test_python_example_of_a_search(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = [example for example in examples(ROOT / "README.md") if "PPOAgent" in example]
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102  the project's own text
    accuracy, reduction = (float(word) for word in capsys.readouterr().out.split())
    assert accuracy > 0.7
    assert 4 <= reduction <= 16
    assert mixq_rl.IntegerModel.load("model").allocation


def test_layout_in_the_readme_names_every_module() -> None:
    readme = (ROOT / "README.md").read_text()
    for path in (ROOT / "mixq_rl").iterdir():
        if path.name not in ("__init__.py", "version.py", "py.typed", "__pycache__"):
            assert path.name in readme, path.name
