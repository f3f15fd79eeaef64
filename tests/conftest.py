"""What several tests share: small problems that train in a second, and where the real graphs are."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.datasets.splits import fraction_split
from mixq_rl.evaluation.ray_workers import RayWorkers
from tests.engine_only import Environment, environment_in, make_environment

ROOT = Path(__file__).parent.parent
ALL_BITS = (1, 2, 3, 4, 5, 6, 7, 8)

MakeOnce = Callable[[str, Callable[[Path], object]], Path]
"""Takes a folder's name and what fills it, and returns the filled folder."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        built = "this torch is built without CUDA" if torch.version.cuda is None else "torch sees none"
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason=f"needs a GPU: {built}"))


def make_task(nodes: int = 150, words: int = 40, classes: int = 3, seed: int = 0) -> GraphTask:
    """A graph with communities, whose row-normalised binary features say something of the class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=nodes)
    likely = rng.random((classes, words)) < 0.2
    words_of = rng.random((nodes, words)) < np.where(likely[y], 0.25, 0.03)
    x = words_of / np.maximum(words_of.sum(axis=1, keepdims=True), 1)
    edges = rng.integers(nodes, size=(2, 6 * nodes))
    edges = edges[:, (y[edges[0]] == y[edges[1]]) | (rng.random(edges.shape[1]) < 0.1)]
    return GraphTask(
        "small",
        torch.from_numpy(x).float(),
        torch.from_numpy(np.concatenate([edges, edges[::-1]], axis=1)),
        torch.from_numpy(y),
        fraction_split(nodes, train=0.3, validation=0.3, seed=seed),
    )


def make_classified_graphs(graphs: int = 60, seed: int = 0) -> GraphTask:
    """Rings and stars with noisy features, to be told apart; features say how many neighbours a node has."""
    rng = np.random.default_rng(seed)
    sizes, y = rng.integers(4, 9, size=graphs), np.arange(graphs) % 2
    edges, first = [], 0
    for size, label in zip(sizes, y, strict=True):
        nodes = np.arange(size)
        ends = np.stack([nodes, (nodes + 1) % size] if label else [nodes[1:], np.zeros(size - 1, dtype=int)]) + first
        edges += [ends, ends[::-1]]
        first += size
    edge_index = np.concatenate(edges, axis=1)
    degree = np.bincount(edge_index[1], minlength=first)
    x = np.stack([degree == count for count in (1, 2, 3)], axis=1) + rng.normal(scale=0.3, size=(first, 3))
    return GraphTask(
        "rings and stars",
        torch.from_numpy(x).float(),
        torch.from_numpy(edge_index),
        torch.from_numpy(y),
        fraction_split(graphs, train=0.4, validation=0.3, seed=seed),
        batch=torch.from_numpy(np.repeat(np.arange(graphs), sizes)),
    )


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """Fills a folder once for all processes that the tests are divided among; nothing in it may be changed."""
    own = tmp_path_factory.getbasetemp()
    common = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "made-once"
    common.mkdir(exist_ok=True)

    def once(name: str, fill: Callable[[Path], object]) -> Path:
        folder, whole = common / name, common / f"{name}.whole"
        with FileLock(common / f"{name}.lock"):
            if not whole.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                whole.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def graph_task() -> GraphTask:
    return make_classified_graphs()


@pytest.fixture(scope="session")
def task() -> GraphTask:
    return make_task()


@pytest.fixture(scope="session")
def float_model(task: GraphTask) -> mixq_rl.QuantizableModel:
    model = mixq_rl.build_model("gcn", task, hidden_channels=16, seed=0)
    return mixq_rl.fit(model, task, seed=0, epochs=40)


@pytest.fixture(scope="session")
def evaluator(task: GraphTask, float_model: mixq_rl.QuantizableModel) -> mixq_rl.SupernetEvaluator:
    return mixq_rl.SupernetEvaluator(float_model, task, bit_widths=(2, 4, 8), seed=0, epochs=30)


@pytest.fixture(scope="session")
def any_bit_evaluator(task: GraphTask, float_model: mixq_rl.QuantizableModel) -> mixq_rl.SupernetEvaluator:
    return mixq_rl.SupernetEvaluator(float_model, task, bit_widths=ALL_BITS, seed=0, epochs=10)


@pytest.fixture(scope="module")
def workers() -> Iterator[RayWorkers]:
    """Two workers of Ray, for the tests of one file."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'mixq-rl[ray]'")
    with RayWorkers(2, cpus=0.1) as two:
        two.wait(2)
        yield two


@pytest.fixture(scope="session")
def data_root() -> Path:
    root = os.environ.get("MIXQ_RL_DATA")
    if not root:
        pytest.skip("MIXQ_RL_DATA is not set: it names the folder of the real graphs")
    return Path(root).resolve()


def make_wheel(folder: Path) -> None:
    # Built from a copy: what an earlier build left behind must not help.
    for name in ("mixq_rl", "envs", "agents"):
        shutil.copytree(
            ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
        )
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source" / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), "source"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def wheel(make_once: MakeOnce) -> Path:
    """What a user installs."""
    (path,) = make_once("wheel", make_wheel).glob("*.whl")
    return path


@pytest.fixture(scope="session")
def engine_only(wheel: Path, make_once: MakeOnce) -> Environment:
    """An environment without what only reinforcement learning needs."""
    return environment_in(make_once("engine-only", lambda folder: make_environment(folder, wheel)))
