"""Exported programs: the integers of the model they were made of, on graphs of any size, and nothing but integers."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

import mixq_rl
from mixq_rl.errors import InputError
from mixq_rl.graph import Graph
from mixq_rl.nn import INPUT, Activation, Node, QuantizableModel
from mixq_rl.nn.models import build_network
from mixq_rl.quantization import schemes
from tests.mixq_rl.frozen import MIXED_BITS, MODELS, arguments, frozen
from tests.mixq_rl.integer.test_model_files import every_step
from tests.mixq_rl.nn.networks import FEATURES, KINDS, ODD_GRAPHS, calibrated, features, make_graph, star
from tests.pairwise import alternating


@functools.cache
def exported(name: str, kind: str, bits: tuple[int, ...] = MIXED_BITS) -> ExportedProgram:
    return mixq_rl.export_program(frozen(name, kind, bits))


def call(program: Any, x: Tensor, edge_index: Tensor, **named: Tensor) -> Tensor:
    """Call a program, which takes the graph by place and what may belong to it by name."""
    logits: Tensor = program(x, edge_index, **named)
    return logits


def some_graphs(pooled: bool) -> list[Graph]:
    graphs = [make_graph(nodes, seed=nodes, graphs=3 if pooled else None) for nodes in (11, 24, 200)]
    return [*graphs, *(make() for make in ODD_GRAPHS.values())]


def check_same_logits(program: Any, model: mixq_rl.IntegerModel) -> None:
    """Check that a program gives the logits of the model on many graphs."""
    for seed, graph in enumerate(some_graphs(model.classifies_graphs)):
        given = arguments(model, graph, seed)
        logits = call(program, **given)
        assert logits.dtype == torch.float32
        assert torch.equal(logits, model(**given))


@pytest.mark.parametrize(("name", "kind"), alternating(MODELS, KINDS))
def test_a_program_gives_the_same_logits_on_graphs_of_any_size(name: str, kind: str) -> None:
    check_same_logits(exported(name, kind).module(), frozen(name, kind))


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # torch 2.11 says so of its own reader
@pytest.mark.parametrize(("name", "kind"), [("gcn", "node"), ("gat", "graph")])
def test_a_program_that_was_saved_gives_the_same_logits(name: str, kind: str, tmp_path: Path) -> None:
    torch.export.save(exported(name, kind), tmp_path / "model.pt2")
    check_same_logits(torch.export.load(tmp_path / "model.pt2").module(), frozen(name, kind))
    content = (tmp_path / "model.pt2").read_bytes()
    assert b"mixq_rl.aggregate" in content
    assert str(Path(mixq_rl.__file__).parent).encode() not in content


def test_a_network_of_every_kind_of_step_becomes_a_program() -> None:
    graph = make_graph(graphs=4)
    network = calibrated(every_step(), features(graph), graph)
    model = mixq_rl.IntegerModel.freeze(network, [3] * len(network.quantizers))
    check_same_logits(mixq_rl.export_program(model).module(), model)


def test_a_network_whose_nodes_have_scales_of_their_own_becomes_a_program() -> None:
    network = build_network("sage", FEATURES, 3, hidden_channels=8)
    graph = make_graph()
    network.calibrate(features(graph), graph, (4,), schemes["a2q"])
    model = mixq_rl.IntegerModel.freeze(network, [4] * len(network.quantizers))
    check_same_logits(mixq_rl.export_program(model).module(), model)


REAL, INTEGERS, LOGITS = range(3)


def stages(program: ExportedProgram) -> Mapping[torch.fx.Node, int]:
    """Return how far each value that follows from the features is on its way: real, integers, real again.

    Raises:
        AssertionError: for a value that goes another way, or integers that are joined with a real number.
    """
    found: dict[torch.fx.Node, int] = {}
    for node in program.graph.nodes:
        values = [value for value in tree_leaves(node.meta.get("val")) if isinstance(value, Tensor)]
        if node.op == "placeholder" and node.name == "x":
            found[node] = REAL
            continue
        before = {found[source] for source in node.all_input_nodes if source in found}
        if not before or not values:  # other inputs; sizes; the program's end
            continue
        assert len(before) == 1, f"{node.format_node()} joins real numbers and integers"
        stage, is_real = before.pop(), any(value.is_floating_point() for value in values)
        if stage == REAL and not is_real and any(value.dtype is not torch.bool for value in values):
            stage = INTEGERS
        elif stage == INTEGERS and is_real:
            stage = LOGITS
        if stage == INTEGERS and found[_sources(node, found)[0]] == INTEGERS:
            for source in node.all_input_nodes:
                assert not _is_real(source), f"{node.format_node()} takes a real number"
        assert stage != LOGITS or is_real, f"{node.format_node()} makes integers of logits"
        found[node] = stage
    return found


def _sources(node: torch.fx.Node, found: Mapping[torch.fx.Node, int]) -> list[torch.fx.Node]:
    return [source for source in node.all_input_nodes if source in found]


def _is_real(node: torch.fx.Node) -> bool:
    return any(isinstance(v, Tensor) and v.is_floating_point() for v in tree_leaves(node.meta.get("val")))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_there_are_integers_only_between_the_quantized_features_and_the_logits(name: str, kind: str) -> None:
    program = exported(name, kind)
    found = stages(program)
    called = [str(node.target) for node, stage in found.items() if stage == INTEGERS]
    assert any(target.startswith("mixq_rl.linear") for target in called)
    assert any(target.startswith("mixq_rl.aggregate") for target in called)
    # The logits' integers are converted once, and scaled.
    logits = [node for node, stage in found.items() if stage == LOGITS]
    assert [str(node.target) for node in logits[:1]] == ["aten.to.dtype"]
    assert {str(node.target) for node in logits} <= {"aten.to.dtype", "aten.sub.Tensor", "aten.mul.Tensor"}
    assert all(set(_sources(node, found)) <= {logits[index]} for index, node in enumerate(logits[1:]))
    (output,) = (node for node in program.graph.nodes if node.op == "output")
    assert output.all_input_nodes == logits[-1:]


class Leaking(nn.Module):
    """Halves integers in floating point on the way."""

    def __init__(self, half: Any) -> None:
        super().__init__()
        self.half = half

    def forward(self, x: Tensor) -> Tensor:
        return self.half(x.round().to(torch.int8)) * 0.5


@pytest.mark.parametrize(
    ("half", "message"),
    [
        (lambda q: (q * 0.5).round().to(torch.int8), "makes integers of logits"),
        (lambda q: (q / 2).floor().int(), "makes integers of logits"),
        (lambda q: q.new_zeros(2).masked_fill(q > torch.rand(2), 1), "takes a real number"),
    ],
)
def test_a_float_in_between_is_found(half: Any, message: str) -> None:
    program = torch.export.export(Leaking(half), (torch.ones(2),))
    with pytest.raises(AssertionError, match=message):
        stages(program)


def changed(name: str, **changes: Tensor) -> Tensor:
    """Call the program of a network with arguments changed."""
    return call(exported(name, "node").module(), **{**arguments(frozen(name, "node"), make_graph()), **changes})


def test_a_hub_that_could_overflow_is_refused_by_layer() -> None:
    program = exported("gin", "node", (8,)).module()
    message = r"layer 'conv1\..*': the sum over the neighbours of a node may pass int32; sample"
    with pytest.raises(RuntimeError, match=message):
        call(program, **arguments(frozen("gin", "node", (8,)), star(100_000)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edge_index": torch.tensor([[0, 1], [1, 24]])}, "edge_index names a node that x has no row for"),
        ({"edge_index": torch.tensor([[0, -1], [1, 2]])}, "edge_index names a node that x has no row for"),
        ({"x": torch.full((24, FEATURES), torch.nan)}, "the features of a node are not finite"),
        ({"x": torch.full((24, FEATURES), 1e20)}, "is beyond what a fixed-point number"),
        ({"x": torch.zeros(24, FEATURES + 1)}, r"\b6\b"),
        ({"edge_index": torch.zeros(2, 0, dtype=torch.int32)}, "dtype"),
    ],
)
def test_what_is_wrong_with_a_graph_is_said_when_the_program_runs(changes: dict[str, Tensor], message: str) -> None:
    with pytest.raises((RuntimeError, AssertionError), match=message):
        changed("sage", **changes)


def test_edge_weights_must_be_finite_and_fit_the_edges() -> None:
    edges = make_graph().edge_index.shape[1]
    with pytest.raises(RuntimeError, match="edge_weight holds NaN or infinity"):
        changed("gcn", edge_weight=torch.full((edges,), torch.nan))
    with pytest.raises(AssertionError, match="edge_weight"):
        changed("gcn", edge_weight=torch.ones(edges - 1))


def test_graphs_are_numbered_from_0() -> None:
    given = arguments(frozen("gin", "graph"), make_graph(graphs=4))
    with pytest.raises(RuntimeError, match="batch names a graph below 0"):
        call(exported("gin", "graph").module(), **{**given, "batch": given["batch"] - 1})


def test_a_network_that_takes_any_number_of_features_is_refused() -> None:
    network = QuantizableModel([Node("act", Activation(torch.tanh, "act.update"), (INPUT,))], input_name="net.input")
    graph = make_graph()
    model = mixq_rl.IntegerModel.freeze(calibrated(network, features(graph), graph), (4, 8))
    assert model.num_features is None
    with pytest.raises(InputError, match="no step of this network says how many features a node has"):
        mixq_rl.export_program(model)


def test_sizes_are_bounded_by_what_32_bit_indices_can_tell_apart() -> None:
    # 8 heads, of which each has all edges and as many self-loops as there are nodes.
    most = (2**31 - 1) // (2 * 8)
    bounds = {(limits.lower, limits.upper) for limits in exported("gat", "graph").range_constraints.values()}
    assert {(1, most), (0, most)} <= bounds


@pytest.mark.parametrize("kind", KINDS)
def test_torch_compile_compiles_the_steps_in_one_graph(kind: str) -> None:
    given = arguments(frozen("gcn", kind), make_graph(50, graphs=4 if kind == "graph" else None, weighted=True))
    torch.compiler.reset()
    explained = torch._dynamo.explain(frozen("gcn", kind).__call__)(**given)
    executed = [sum("mixq_rl" in str(node.target) for node in traced.graph.nodes) for traced in explained.graphs]
    assert [count for count in executed if count] == [len(frozen("gcn", kind).steps)]
    for bits in (MIXED_BITS, MIXED_BITS[::-1], (2, 2, 8)):  # what differs becomes symbols
        model = frozen("gcn", kind, bits)
        compiled = torch.compile(model.__call__, backend="aot_eager")
        assert torch.equal(compiled(**given), model(**given))
