"""The map in docs/architecture.md is that of the tree, imports follow its order, and its recipes work."""

import ast
import csv
import json
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest
import torch

from mixq_rl import Ledger
from mixq_rl.agents import SearchProblem, run_search
from mixq_rl.agents.searches import searches
from mixq_rl.datasets import GraphTask, datasets, load_task
from mixq_rl.evaluation.objective import objectives
from mixq_rl.nn import models
from mixq_rl.training import schedules
from mixq_rl.training.loop import Schedule
from tests.lookup_table import LookupTable
from tests.mixq_rl.nn.networks import FEATURES, KINDS, check_layer

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGES = {"mixq_rl": "mixq_rl", "envs": "mixq_rl.envs", "agents": "mixq_rl.agents"}
RECIPES = {
    "A dataset": "communities",
    "A layer": "sgc",
    "A search": "evolve",
    "An objective": "traffic",
    "A reward": "steep",
}
UNMAPPED = ("__init__.py", "__pycache__", "py.typed")
BUILT = (".so", ".pyd")


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE, flags=re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


def entries(folder: Path) -> set[str]:
    return {
        f"{path.name}/" if path.is_dir() else path.name
        for path in folder.iterdir()
        if path.name not in UNMAPPED and path.suffix not in BUILT
    }


def folders() -> Iterator[str]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("__init__.py")):
            yield f"{path.parent.relative_to(ROOT).as_posix()}/"


@pytest.mark.parametrize("folder", list(folders()))
def test_the_map_names_what_is_there(folder: str) -> None:
    named = re.findall(r"^- `([^`]+)`: \S", section(folder), flags=re.MULTILINE)
    assert len(named) == len(set(named))
    assert set(named) == entries(ROOT / folder)


def test_the_map_has_no_other_folders() -> None:
    assert sorted(re.findall(r"^### (\S+/)$", PAGE, flags=re.MULTILINE)) == sorted(folders())
    for folder in re.findall(r"^\| `([^`]+/)` \|", PAGE, flags=re.MULTILINE):
        assert (ROOT / folder).is_dir()


def modules() -> dict[str, Path]:
    found = {}
    for folder, package in PACKAGES.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *parts]).removesuffix(".__init__")] = path
    return found


MODULES = modules()


@pytest.mark.parametrize("folder", [*PACKAGES, "tests", "benchmarks"])
def test_no_module_is_longer_than_a_few_screens(folder: str) -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / folder).rglob("*.py")}
    assert lengths
    assert {path: length for path, length in lengths.items() if length > 300} == {}


def imports(module: str) -> set[str]:
    """The modules of this project that a module imports, anywhere in its text."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {full if full in MODULES else str(node.module) for full in names.values()}
    return found & MODULES.keys()


def package_of(module: str) -> str:
    return next(folder for folder in ("envs", "agents", "mixq_rl") if f"{module}.".startswith(f"{PACKAGES[folder]}."))


def place_of(module: str) -> str:
    """The name under which an order lists a module: its own, or that of its folder."""
    package = package_of(module)
    first = module.removeprefix(PACKAGES[package]).strip(".").split(".")[0]
    return f"{first}/" if (ROOT / package / first).is_dir() else first


def order(package: str) -> list[list[str]]:
    lines = re.findall(r"^- [^:`]+: (.+)$", section(f"Order in {package}/"), flags=re.MULTILINE)
    return [re.findall(r"`([^`]+)`", line) for line in lines]


@pytest.mark.parametrize("package", list(PACKAGES))
def test_the_order_names_what_is_there(package: str) -> None:
    listed = [name for line in order(package) for name in line]
    own = {place_of(module) for module in MODULES if package_of(module) == package and module != PACKAGES[package]}
    assert sorted(listed) == sorted(own)


@pytest.mark.parametrize("package", list(PACKAGES))
def test_imports_follow_the_order(package: str) -> None:
    level = {name: number for number, line in enumerate(order(package)) for name in line}
    for module in sorted(MODULES):
        if package_of(module) != package or module == PACKAGES[package]:
            continue
        for imported in sorted(imports(module)):
            assert imported != PACKAGES[package], f"{module} imports a name that {imported} only collects"
            if package_of(imported) == package:
                assert level[place_of(module)] <= level[place_of(imported)], f"{module} imports {imported}"


def test_packages_import_one_way() -> None:
    for module in MODULES:
        below = {"mixq_rl": ["mixq_rl"], "envs": ["mixq_rl", "envs"], "agents": list(PACKAGES)}[package_of(module)]
        assert {package_of(imported) for imported in imports(module)} <= set(below), module


def test_imports_form_no_cycle() -> None:
    collecting = set(PACKAGES.values())
    graph = {module: imports(module) - collecting - {module} for module in MODULES if module not in collecting}
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph)


def blocks(recipe: str) -> dict[str, str]:
    """The files of a recipe, by name."""
    return dict(re.findall(r'```python title="([^"]+)"\n(.*?)```', section(recipe), flags=re.DOTALL))


def commands(recipe: str) -> list[list[str]]:
    text = "".join(re.findall(r"```sh\n(.*?)```", section(recipe), flags=re.DOTALL))
    return [shlex.split(line) for line in text.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the files of all recipes, whose names are registered only during the test."""
    for recipe in RECIPES:
        for name, text in blocks(recipe).items():
            (tmp_path / name).write_text(text)
    for registry in (datasets, models, objectives, searches):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    for name in RECIPES.values():
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIXQ_RL_CACHE", raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on matrices this small, threads mostly wait for each other
    yield tmp_path
    torch.set_num_threads(threads)


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the commands of a recipe with short training, and returns what they print."""
    schedule = schedules.default_schedule

    def short(purpose: schedules.Purpose, task: GraphTask) -> Schedule:
        return schedule(purpose, task).lasting(5)

    def run_commands(recipe: str) -> str:
        monkeypatch.setattr(schedules, "default_schedule", short)
        for program, file, *arguments in commands(recipe):
            assert program == "python"
            monkeypatch.setattr(sys, "argv", [file, *arguments])
            if arguments:  # the command line, which ends by leaving
                with pytest.raises(SystemExit) as ended:
                    runpy.run_path(file, run_name="__main__")
                assert ended.value.code == 0, capsys.readouterr().err
            else:
                runpy.run_path(file, run_name="__main__")
        return capsys.readouterr().out

    return run_commands


def test_recipe_of_a_dataset(run: Callable[[str], str], folder: Path) -> None:
    printed = run("A dataset")
    assert "gcn on communities" in printed
    assert (folder / "runs" / "communities" / "result.json").is_file()
    task = load_task("communities")
    assert (task.num_nodes, task.num_features, task.num_classes) == (200, 8, 2)


def test_recipe_of_a_layer(run: Callable[[str], str], folder: Path) -> None:
    printed = run("A layer")
    accuracies = dict(re.findall(r"(\d) bits: test accuracy (\d\.\d+)", printed))
    assert list(accuracies) == ["2", "4", "8"]
    assert float(accuracies["8"]) > 0.9
    assert "sgc on communities: 13 components" in printed
    assert (folder / "runs" / "sgc" / "result.json").is_file()


@pytest.mark.parametrize("kind", KINDS)
def test_layer_of_the_recipe_equals_its_fake_quantization(folder: Path, kind: str) -> None:
    check_layer(import_module("sgc").SGConv(FEATURES, 5, name="conv1", relu=True), kind, count=4)


def test_recipe_of_a_search(run: Callable[[str], str], folder: Path) -> None:
    printed = run("A search")
    assert "evolve" in printed
    assert "random" in printed
    for name in ("evolve", "random"):
        assert (folder / "runs" / "evolve" / f"{name}-seed0").is_dir()
    assert re.search(r"^16 evaluations, hypervolume \d\.\d\d$", printed, flags=re.MULTILINE)


def test_search_of_the_recipe_finds_the_optimum_of_a_lookup_table(folder: Path) -> None:
    import_module("evolve")
    evaluator = Ledger(LookupTable(), budget=40)
    run_search("evolve", SearchProblem(evaluator))
    assert len(evaluator.evaluations) == 40
    assert (2, 4, 2, 2) in evaluator.evaluations


def test_recipe_of_an_objective(run: Callable[[str], str], folder: Path) -> None:
    printed = run("An objective")
    assert "bytes moved in kB (and less traffic)" in printed
    result = json.loads((folder / "runs" / "traffic" / "result.json").read_text())
    assert result["objective"] == "traffic"
    config = json.loads((folder / "runs" / "traffic" / "config.json").read_text())["config"]
    assert config["objective"] == "traffic"
    text = (folder / "runs" / "traffic" / "allocations.csv").read_text()
    float32, *quantized = csv.DictReader(text.splitlines())
    for row in quantized:
        assert float(row["traffic_reduction"]) == float(float32["bytes"]) / float(row["bytes"])
    page = (folder / "runs" / "traffic" / "report.html").read_text()
    assert "reduction in bytes moved against float32" in page
    assert "fewer bytes moved than float32" in page


def test_recipe_of_a_reward(run: Callable[[str], str]) -> None:
    allocation = ast.literal_eval(run("A reward").splitlines()[-1])
    assert len(allocation) == 9
    assert set(allocation) <= {1, 2, 4, 8}
