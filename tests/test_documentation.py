"""The examples in docstrings and README run."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

import mixq_rl
from mixq_rl.agents.searches import searches
from mixq_rl.datasets import datasets
from mixq_rl.evaluation.objective import objectives
from mixq_rl.nn import models
from tests.hurry import hurry

ROOT = Path(__file__).parent.parent
MODULES = [module.name for module in pkgutil.walk_packages(mixq_rl.__path__, "mixq_rl.")]


@pytest.mark.parametrize("name", [*MODULES, "mixq_rl.envs.bit_allocation", "mixq_rl.agents.ppo.agent"])
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_api_pages_name_all_that_the_package_exports() -> None:
    text = (ROOT / "docs" / "api" / "index.md").read_text()
    assert [name for name in mixq_rl.__all__ if f"`{name}`" not in text and f"`mixq_rl.{name}`" not in text] == []


def examples(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL)


PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if examples(path)]


@pytest.mark.parametrize("hurried", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_of_a_page_run_one_after_another(
    page: Path, hurried: bool, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if "RayWorkers" in page.read_text():
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'mixq-rl[ray]'")
    for registry in (datasets, models, objectives, searches):  # an example may register a name
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    if hurried:
        hurry(monkeypatch)
    names: dict[str, Any] = {"__name__": page.stem}
    for example in examples(page):
        if page.name != "README.md" or "PPOAgent" not in example:  # that one is looked at below
            exec(compile(example, page.name, "exec"), names)  # noqa: S102  the project's own text
    assert capsys.readouterr().out


@pytest.mark.slow
def test_python_example_of_a_search(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = [example for example in examples(ROOT / "README.md") if "PPOAgent" in example]
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102  the project's own text
    accuracy, reduction = (float(word) for word in capsys.readouterr().out.split())
    assert accuracy > 0.8
    assert 16 <= reduction <= 32
    assert mixq_rl.IntegerModel.load("model").allocation
