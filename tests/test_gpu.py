"""What only a machine with a GPU can tell: same integers as on the CPU, same network from the same seed.

Small enough to take less than a minute in all: ``pytest -m gpu``.
"""

from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

import mixq_rl
from mixq_rl.agents import RunConfig, RunResult, resume_training, train
from mixq_rl.agents.records.evaluator_config import EvaluatorConfig, silent
from mixq_rl.datasets import GraphTask
from mixq_rl.graph import Graph
from mixq_rl.propagation import Propagation
from mixq_rl.sparse import CSR
from mixq_rl.training import Progress, class_probabilities, fine_tune, fit_supernet
from tests.agents.cli.invoking import save_graph
from tests.conftest import make_classified_graphs, make_task
from tests.mixq_rl.frozen import MODELS, arguments, frozen
from tests.mixq_rl.nn.networks import KINDS, make_graph

pytestmark = pytest.mark.gpu

BITS = (2, 4, 8)
GPU = torch.device("cuda", 0)
each_model = pytest.mark.parametrize("name", MODELS)
each_kind = pytest.mark.parametrize("kind", KINDS)

Network = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def tasks() -> dict[str, GraphTask]:
    return {"node": make_task().to(GPU), "graph": make_classified_graphs().to(GPU)}


def network_of(module: torch.nn.Module) -> Network:
    return {name: tensor.cpu() for name, tensor in module.state_dict().items()}


def assert_same(one: Network, other: Network) -> None:
    assert one.keys() == other.keys()
    assert [name for name, tensor in one.items() if not torch.equal(tensor, other[name])] == []


@each_kind
@each_model
def test_a_frozen_network_gives_the_cpu_s_integers(name: str, kind: str) -> None:
    model = frozen(name, kind)
    there = model.to(GPU)
    for seed in range(2):
        graph = make_graph(
            120, seed=seed, graphs=4 if kind == "graph" else None, weighted=mixq_rl.nn.models[name].takes_weights
        )
        given = arguments(model, graph, seed)
        features, features_there = model.quantize_features(given["x"]), there.quantize_features(given["x"].to(GPU))
        assert torch.equal(features_there.payload.data.cpu(), features.payload.data)
        whole = Graph(
            given["edge_index"], len(given["x"]), edge_weight=given.get("edge_weight"), batch=given.get("batch")
        )
        result = model.execute(features, model.quantize_graph(whole))
        result_there = there.execute(features_there, there.quantize_graph(whole.to(GPU)))
        assert torch.equal(result_there.payload.data.cpu(), result.payload.data)
        logits = there(**{key: tensor.to(GPU) for key, tensor in given.items()})
        assert torch.equal(logits.cpu(), model(**given))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("normalization", ["none", "mean", "root", "symmetric"])
def test_an_adjacency_is_the_same_to_the_last_bit(normalization: str, weighted: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    edges = torch.randint(3000, (2, 60_000), generator=draw)
    edges[1, :20_000] = 7  # a hub, whose weights a GPU would add up in any order
    weight = torch.rand(60_000, generator=draw) if weighted else None
    graph = Graph(edges, 3000, edge_weight=weight)
    propagation = Propagation(normalization, "add", weighted=weighted)
    here, there = graph.adjacency(propagation), graph.to(GPU).adjacency(propagation)
    assert torch.equal(there.csr.rowptr.cpu(), here.csr.rowptr)
    assert torch.equal(there.csr.col.cpu(), here.csr.col)
    assert torch.equal(there.value.cpu(), here.value)
    if here.row_scale is not None and there.row_scale is not None:
        assert torch.equal(there.row_scale.cpu(), here.row_scale)


@each_kind
def test_batches_and_first_weights_are_those_of_the_cpu(kind: str, tasks: dict[str, GraphTask]) -> None:
    there = tasks[kind]
    here = there.to("cpu")
    batches = [list(task.training_batches(torch.Generator().manual_seed(3), 8)) for task in (here, there)]
    for one, other in zip(*batches, strict=True):
        assert torch.equal(other.index.cpu(), one.index)
        assert torch.equal(other.x.cpu(), one.x)
        assert torch.equal(other.graph.edge_index.cpu(), one.graph.edge_index)
    first, second = (mixq_rl.build_model("gcn", task, hidden_channels=8, seed=3) for task in (here, there))
    assert_same(network_of(first), network_of(second))
    for component, twin in zip(first.components, second.components, strict=True):
        assert twin.statistics == pytest.approx(component.statistics, rel=1e-3, abs=1e-3)


def _whole_way(name: str, task: GraphTask) -> tuple[Network, Network, Network, list[tuple[float, ...]]]:
    """Return the trained, any-bit and fine-tuned network, and what evaluations say beside their time."""
    model = mixq_rl.fit(mixq_rl.build_model(name, task, hidden_channels=16, num_layers=2), task, seed=1, epochs=5)
    evaluator = mixq_rl.SupernetEvaluator(model, task, bit_widths=BITS, seed=1, epochs=3)
    count = len(evaluator.components)
    mixed = [BITS[index % len(BITS)] for index in range(count)]
    found = evaluator.evaluate([mixed, [8] * count])
    assert evaluator.reference.seconds > 0
    assert all(evaluation.seconds == 0 for evaluation in found)  # a GPU is not waited for
    tuned = fine_tune(evaluator.model, task, mixed, teacher=evaluator.teacher, seed=1, epochs=3)
    measured = evaluator.measure(mixq_rl.IntegerModel.freeze(tuned, mixed), "test")
    said = [(evaluation.accuracy, evaluation.bitops) for evaluation in (evaluator.reference, *found, measured)]
    return network_of(model), network_of(evaluator.model), network_of(tuned), said


@pytest.mark.parametrize(("name", "kind"), [*((name, "node") for name in MODELS), ("gin", "graph"), ("gat", "graph")])
def test_one_seed_gives_one_network_and_its_evaluations(name: str, kind: str, tasks: dict[str, GraphTask]) -> None:
    first, second = _whole_way(name, tasks[kind]), _whole_way(name, tasks[kind])
    for one, other in zip(first[:3], second[:3], strict=True):
        assert_same(one, other)
    assert first[3] == second[3]
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("scheme", ["percentile", "degree-quant", "a2q"])
def test_all_kinds_of_scales_are_trained(scheme: str, tasks: dict[str, GraphTask]) -> None:
    task, how = tasks["node"], mixq_rl.quantization.schemes[scheme]
    networks = []
    for _ in range(2):
        model = mixq_rl.fit(mixq_rl.build_model("gcn", task, hidden_channels=8), task, epochs=3)
        networks.append(network_of(fit_supernet(model, task, BITS, scheme=how, epochs=2)))
    assert_same(*networks)
    assert class_probabilities(model, task).device == GPU


def test_a_network_learns_what_it_learns_on_the_cpu(tasks: dict[str, GraphTask]) -> None:
    reached = []
    for task in (tasks["node"], tasks["node"].to("cpu")):
        model = mixq_rl.fit(mixq_rl.build_model("gcn", task, hidden_channels=16), task, epochs=40)
        with model.evaluating():
            inputs = task.inputs("test")
            reached.append(task.accuracy(model(inputs.x, inputs.graph), "test"))
    assert reached[0] == pytest.approx(reached[1], abs=0.1)


@pytest.mark.parametrize("columns", [1, 33, 128])
def test_products_in_order_are_those_of_cusparse(columns: int) -> None:
    draw = torch.Generator().manual_seed(0)
    count = torch.randint(9, (500,), generator=draw)
    count[::7], count[3] = 0, 4000
    rowptr = torch.cat([torch.zeros(1, dtype=torch.int64), count.cumsum(0)]).int()
    total = int(count.sum())
    csr = CSR(rowptr.to(GPU), torch.randint(500, (total,), generator=draw, dtype=torch.int32).to(GPU), 500)
    value, x = (torch.randn(*shape, generator=draw).to(GPU) for shape in ((total,), (500, columns)))
    fast = csr.matmul(value, x)
    torch.use_deterministic_algorithms(True)
    try:
        ordered = [csr.matmul(value, x) for _ in range(3)]
    finally:
        torch.use_deterministic_algorithms(False)
    torch.testing.assert_close(ordered[0], fast, rtol=1e-3, atol=1e-3)
    assert all(torch.equal(again, ordered[0]) for again in ordered)


def configured(folder: Path, **options: object) -> RunConfig:
    settings = {"episodes": 6, "hidden_channels": 8, "num_layers": 1, "bits": (2, 4), "evaluator": "post-training"}
    return RunConfig(dataset=str(folder / "graph.npz"), device="cuda", **{**settings, **options})  # type: ignore[arg-type]


def table(result: RunResult) -> list[tuple[object, ...]]:
    return [
        (row.label, row.evaluation.allocation, row.evaluation.accuracy, row.evaluation.bitops, row.test_accuracy)
        for row in result.finalists
    ]


class Stopped(Exception):  # noqa: N818  not an error
    pass


def test_a_run_comes_to_its_table_and_goes_on_to_the_same(tmp_path: Path) -> None:
    save_graph(tmp_path / "graph.npz")
    config = configured(tmp_path)
    assert config.device == "cuda:0"
    whole = train(config, tmp_path / "whole")

    def stopping(what: str, unit: str) -> AbstractContextManager[Progress]:
        if what == "measuring":
            raise Stopped
        return silent(what, unit)

    with pytest.raises(Stopped):
        train(config, tmp_path / "stopped", stopping)
    assert table(resume_training(tmp_path / "stopped")) == table(whole)
    model = mixq_rl.IntegerModel.load(tmp_path / "whole" / "model", "cuda")
    task = mixq_rl.load_task(config.dataset, device="cuda")
    best = model(task.x, task.edge_index).argmax(dim=1).cpu()
    here = task.to("cpu")
    assert torch.equal(best, model.to("cpu")(here.x, here.edge_index).argmax(dim=1))


def test_a_prepared_network_is_kept_and_found_again(tmp_path: Path) -> None:
    save_graph(tmp_path / "graph.npz")
    names = ("dataset", "device", "hidden_channels", "num_layers", "bits")
    run = configured(tmp_path)
    config = EvaluatorConfig(**{name: getattr(run, name) for name in names})
    cache = mixq_rl.PreparationCache(tmp_path / "cache")
    made, found = (config.prepare(*config.load(), cache=cache) for _ in range(2))
    assert found.fingerprint == made.fingerprint
    assert {tensor.device for tensor in found.model.parameters()} == {GPU}
    assert len(list((tmp_path / "cache").iterdir())) == 1


@each_kind
@pytest.mark.parametrize("name", ["gcn", "gat"])
def test_a_program_gives_the_same_logits(name: str, kind: str, tmp_path: Path) -> None:
    model = frozen(name, kind).to(GPU)
    torch.export.save(mixq_rl.export_program(model), tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    graph = make_graph(50, graphs=4 if kind == "graph" else None, weighted=name == "gcn")
    given = {key: tensor.to(GPU) for key, tensor in arguments(model.to("cpu"), graph).items()}
    x, edge_index, *_ = given.values()
    rest = {key: tensor for key, tensor in given.items() if key not in ("x", "edge_index")}
    assert torch.equal(program(x, edge_index, **rest), model(**given))


def test_a_compiled_network_gives_the_same_logits() -> None:
    graph = make_graph(50, weighted=True)
    for bits in ((4, 2, 8, 3, 8), (8, 4, 2), (1, 8, 4)):  # what differs between networks becomes symbols
        model = frozen("gcn", "node", bits).to(GPU)
        given = {key: tensor.to(GPU) for key, tensor in arguments(frozen("gcn", "node", bits), graph).items()}
        assert torch.equal(torch.compile(model.__call__)(**given), model(**given))


def test_dropout_leaves_the_callers_generators_alone(tasks: dict[str, GraphTask]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3, device=GPU), torch.rand(3)
    torch.manual_seed(5)
    task = tasks["node"]
    mixq_rl.fit(mixq_rl.build_model("gcn", task, hidden_channels=8), task, epochs=1)
    assert torch.equal(torch.rand(3, device=GPU), expected[0])
    assert torch.equal(torch.rand(3), expected[1])


def test_the_doctor_compiles_kernels() -> None:
    from mixq_rl.agents.cli.gpu_findings import examine_gpu

    card, cuda, triton = examine_gpu("installed")
    assert torch.cuda.get_device_name(0) in card.found
    assert "gives the reference's integers" in cuda.found
    assert "gives the reference's integers" in triton.found
    assert not any(finding.remedy for finding in (card, cuda, triton))
