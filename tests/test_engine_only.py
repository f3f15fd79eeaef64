"""The engine by itself: without the extra, saved networks give the integers of the evaluator that made them."""

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pytest
import torch
from packaging.utils import canonicalize_name
from safetensors.torch import load_file, save_file
from torch import Tensor

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.graph import Graph
from tests.engine_only import Environment, required, requirements
from tests.mixq_rl.frozen import arguments, frozen
from tests.mixq_rl.nn.networks import make_graph

pytestmark = pytest.mark.slow  # the environment takes a minute

ALLOCATION = (2, 4, 8, 2, 4, 8, 2, 4, 8)
Inputs = Mapping[str, Tensor]
"""What a network is called with, by name."""

EXECUTE = """
import sys
from pathlib import Path
from safetensors.torch import load_file, save_file
import mixq_rl
from mixq_rl.graph import Graph

folder = Path(sys.argv[1])
model = mixq_rl.IntegerModel.load(folder / "model")
for file in folder.glob("*.given"):
    x, edge_index, batch = (load_file(file).get(name) for name in ("x", "edge_index", "batch"))
    output = model.execute(model.quantize_features(x), model.quantize_graph(Graph(edge_index, len(x), batch=batch)))
    answer = {"integers": output.values, "logits": model(x, edge_index, batch=batch)}
    save_file(answer, file.with_suffix(".answer"))
assert "torch_geometric" not in sys.modules
"""


def distributions_of_the_extra(engine_only: Environment) -> set[str]:
    """Of what the extra requires, what the engine does not: Jinja is there, because PyTorch requires it."""
    (own,) = metadata.distributions(path=[str(engine_only.packages)], name="mixq-rl")
    engine = {canonicalize_name(distribution.name) for distribution in required(own)}
    return {requirement.name for requirement in requirements(own, ["rl"])} - engine


def test_the_environment_has_nothing_of_the_extra(engine_only: Environment, tmp_path: Path) -> None:
    extra = distributions_of_the_extra(engine_only)
    assert {"gymnasium", "stable-baselines3", "sb3-contrib", "optuna"} <= extra
    modules = {
        module
        for module, distributions in metadata.packages_distributions().items()
        if not extra.isdisjoint(name.lower().replace("_", "-") for name in distributions)
    }
    assert {"gymnasium", "stable_baselines3", "sb3_contrib", "optuna", "tensorboard", "matplotlib"} <= modules
    program = "import sys, importlib.util as u; print(*(m for m in sys.argv[1:] if u.find_spec(m)))"
    assert engine_only.run("-c", program, *sorted(modules), cwd=tmp_path).stdout.split() == []
    program = "import sys, mixq_rl; print(mixq_rl.__file__, *sys.path)"
    file, *places = engine_only.run("-c", program, cwd=tmp_path).stdout.split()
    assert Path(file).is_relative_to(engine_only.packages)
    assert [place for place in places if "packages" in Path(place).name] == [str(engine_only.packages)]


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("import mixq_rl; mixq_rl.envs", "envs"),
        ("import mixq_rl.envs", "envs"),
        ("from mixq_rl.agents import PPOAgent", "agents.PPOAgent"),
        ("import mixq_rl; mixq_rl.allocate", "agents.allocate"),
    ],
)
def test_what_needs_the_extra_names_it(statement: str, what: str, engine_only: Environment, tmp_path: Path) -> None:
    result = engine_only.run("-c", statement, cwd=tmp_path, check=False)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        f"ModuleNotFoundError: mixq_rl.{what} needs gymnasium, which is not installed: pip install 'mixq-rl[rl]'"
    )


def check_same_integers(
    model: mixq_rl.IntegerModel, graphs: Mapping[str, Inputs], engine_only: Environment, folder: Path
) -> None:
    """Check that the saved model gives the same integers and logits in the environment as the model does here."""
    model.save(folder / "model")
    for name, inputs in graphs.items():
        save_file({key: tensor.contiguous() for key, tensor in inputs.items()}, folder / f"{name}.given")
    engine_only.run("-W", "error", "-c", EXECUTE, folder, cwd=folder)
    for name, inputs in graphs.items():
        answer = load_file(folder / f"{name}.answer")
        x, edge_index, batch = inputs["x"], inputs["edge_index"], inputs.get("batch")
        graph = Graph(edge_index, len(x), batch=batch)
        output = model.execute(model.quantize_features(x), model.quantize_graph(graph))
        assert answer["integers"].dtype == output.values.dtype
        assert torch.equal(answer["integers"], output.values), name
        assert torch.equal(answer["logits"], model(x, edge_index, batch=batch)), name
        assert output.values.unique().numel() > 1


def with_new_nodes(task: GraphTask, count: int = 20) -> Inputs:
    """The graph of a task with nodes that it does not have, each joined to three others, old and new."""
    draw = torch.Generator().manual_seed(0)
    nodes = torch.arange(task.num_nodes, task.num_nodes + count)
    others = torch.randint(task.num_nodes + count, (3 * count,), generator=draw)
    added = torch.stack([nodes.repeat(3), others])
    features = task.x[torch.randint(task.num_nodes, (count,), generator=draw)].roll(1, dims=1)
    return {"x": torch.cat([task.x, features]), "edge_index": torch.cat([task.edge_index, added, added.flip(0)], dim=1)}


def another_graph(features: int) -> Inputs:
    """A graph that no task has, with an isolated node."""
    draw = torch.Generator().manual_seed(1)
    edges = torch.randint(49, (2, 150), generator=draw)
    return {"x": torch.rand(50, features, generator=draw), "edge_index": torch.cat([edges, edges.flip(0)], dim=1)}


def graphs_around(task: GraphTask) -> dict[str, Inputs]:
    """The graph of a task, and graphs that were not there in training."""
    whole = {"x": task.x, "edge_index": task.edge_index}
    return {"whole": whole, "extended": with_new_nodes(task), "another": another_graph(task.num_features)}


def graphs_of(task: GraphTask, split: str) -> Inputs:
    inputs = task.inputs(split)  # type: ignore[arg-type]
    assert inputs.graph.batch is not None
    return {"x": inputs.x, "edge_index": inputs.graph.edge_index, "batch": inputs.graph.batch}


def test_nodes_of_a_small_graph(
    evaluator: mixq_rl.SupernetEvaluator, task: GraphTask, engine_only: Environment, tmp_path: Path
) -> None:
    check_same_integers(evaluator.freeze(ALLOCATION), graphs_around(task), engine_only, tmp_path)


def test_nodes_of_cora(data_root: Path, engine_only: Environment, tmp_path: Path) -> None:
    task = mixq_rl.load_task("Cora", data_root)
    model = mixq_rl.fit(mixq_rl.build_model("gcn", task, hidden_channels=32), task, epochs=5)
    evaluator = mixq_rl.SupernetEvaluator(model, task, epochs=1)
    check_same_integers(evaluator.freeze(ALLOCATION), graphs_around(task), engine_only, tmp_path)


def test_graphs_of_proteins(data_root: Path, engine_only: Environment, tmp_path: Path) -> None:
    task = mixq_rl.load_task("PROTEINS", data_root)
    model = mixq_rl.fit(mixq_rl.build_model("gin", task, hidden_channels=16, num_layers=3), task, epochs=3)
    evaluator = mixq_rl.SupernetEvaluator(model, task, epochs=1)
    allocation = [(8, 4)[index % 2] for index in range(len(evaluator.components))]
    graphs = {split: graphs_of(task, split) for split in ("validation", "test")}
    graphs["another"] = another_graph(task.num_features)  # without a batch: one graph
    graphs["others"] = {**another_graph(task.num_features), "batch": torch.arange(50) // 7}
    check_same_integers(evaluator.freeze(allocation), graphs, engine_only, tmp_path)


LOAD = """
import json, sys
import mixq_rl

tasks = {}
for name in sys.argv[2:]:
    task = mixq_rl.load_task(name, sys.argv[1])
    tasks[name] = [task.num_nodes, task.edge_index.shape[1], float(task.x.double().sum()), int(task.y.sum())]
print(json.dumps(tasks))
"""


def test_datasets_are_read(data_root: Path, engine_only: Environment, tmp_path: Path) -> None:
    names = ("Cora", "PROTEINS", "PT")
    read = json.loads(engine_only.run("-c", LOAD, data_root, *names, cwd=tmp_path).stdout)
    for name in names:
        task = mixq_rl.load_task(name, data_root)
        expected = [task.num_nodes, task.edge_index.shape[1], float(task.x.double().sum()), int(task.y.sum())]
        assert read[name] == expected


EXECUTE_PROGRAM = """
import sys
from pathlib import Path
from safetensors.torch import load_file, save_file
import torch
import mixq_rl.kernels

folder = Path(sys.argv[1])
program = torch.export.load(folder / "model.pt2").module()
for file in folder.glob("*.given"):
    given = load_file(file)
    logits = program(given.pop("x"), given.pop("edge_index"), **given)
    save_file({"logits": logits}, file.with_suffix(".answer"))
"""


@pytest.mark.parametrize(("name", "kind"), [("gcn", "node"), ("gat", "graph")])
def test_programs_need_the_operators_only(name: str, kind: str, engine_only: Environment, tmp_path: Path) -> None:
    model = frozen(name, kind)
    torch.export.save(mixq_rl.export_program(model), tmp_path / "model.pt2")
    graphs = {
        str(nodes): arguments(model, make_graph(nodes, seed=nodes, graphs=3 if kind == "graph" else None))
        for nodes in (5, 24, 100)
    }
    for size, given in graphs.items():
        save_file(given, tmp_path / f"{size}.given")
    engine_only.run("-c", EXECUTE_PROGRAM, tmp_path, cwd=tmp_path)
    for size, given in graphs.items():
        assert torch.equal(load_file(tmp_path / f"{size}.answer")["logits"], model(**given)), size
