"""What integer networks are called with: graphs that they have never seen, and what cannot be executed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import mixq_rl
from mixq_rl.errors import InputError, InvalidGraphError, ScaleError
from mixq_rl.nn import INPUT, Activation, Concatenate, GCNConv, GINConv, Linear, Node, QuantizableModel
from tests.mixq_rl.frozen import MODELS, arguments, frozen
from tests.mixq_rl.nn.networks import FEATURES, KINDS, ODD_GRAPHS, calibrated, features, make_graph

EDGES = make_graph().edge_index.shape[1]
NO_EDGES = torch.zeros(2, 0, dtype=torch.int64)

each_model = pytest.mark.parametrize("name", MODELS)
each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
@each_model
def test_new_graphs_of_any_size(name: str, kind: str) -> None:
    model = frozen(name, kind)
    for graph in (make_graph(200, seed=1, graphs=7 if kind == "graph" else None), *(m() for m in ODD_GRAPHS.values())):
        given = arguments(model, graph, seed=1)
        logits = model(**given)
        rows = int(given["batch"].max()) + 1 if kind == "graph" else graph.num_nodes
        assert logits.shape == (rows, 3)
        assert bool(logits.isfinite().all())


@each_kind
@each_model
def test_new_nodes_change_nothing_that_they_cannot_reach(name: str, kind: str) -> None:
    model = frozen(name, kind)
    graph, other = make_graph(graphs=4 if kind == "graph" else None), make_graph(31, seed=9)
    before, new = arguments(model, graph), arguments(model, other, seed=9)
    together = {key: torch.cat([before[key], new[key]]) for key in before if key != "edge_index"}
    together["edge_index"] = torch.cat([graph.edge_index, other.edge_index + graph.num_nodes], dim=1)
    if kind == "graph":
        together["batch"] = torch.cat([before["batch"], new["batch"] + 4])
    logits = model(**together)
    assert torch.equal(logits[: -len(model(**new))], model(**before))
    assert torch.equal(logits[-len(model(**new)) :], model(**new))


@each_model
def test_neighbours_of_new_nodes_see_them(name: str) -> None:
    model, graph = frozen(name, "node", (8,)), make_graph()
    given = arguments(model, graph)
    joined = {**given, "x": torch.cat([given["x"], 3 * given["x"][3:4]])}
    ends = torch.tensor([[graph.num_nodes] * 8, list(range(8))])
    joined["edge_index"] = torch.cat([graph.edge_index, ends, ends.flip(0)], dim=1)
    if model.takes_edge_weight:
        joined["edge_weight"] = torch.cat([given["edge_weight"], torch.ones(16)])
    assert not torch.equal(model(**joined)[:-1], model(**given))


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@each_kind
@each_model
def test_graphs_are_taken_in_any_dtype_layout_and_order(name: str, kind: str) -> None:
    model = frozen(name, kind)
    given = arguments(model, make_graph(graphs=4 if kind == "graph" else None))
    logits = model(**given)
    assert torch.equal(model(**{**given, "x": given["x"].double()}).float(), logits)
    assert torch.equal(model(**{**given, "edge_index": given["edge_index"].int()}), logits)
    half = {**given, "x": given["x"].to(torch.bfloat16)}
    assert torch.equal(model(**half), model(**{**half, "x": half["x"].float()}).to(torch.bfloat16))
    for sparse in (given["x"].to_sparse_csr(), given["x"].to_sparse_coo()):
        assert torch.equal(model(**{**given, "x": sparse}), logits)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    shuffled = {**given, "x": given["x"][order], "edge_index": order.argsort()[given["edge_index"]]}
    if kind == "graph":
        shuffled["batch"] = given["batch"][order]
        assert torch.equal(model(**shuffled), logits)
    else:
        assert torch.equal(model(**shuffled), logits[order])


@pytest.mark.parametrize("nodes", [0, 1])
@each_model
def test_a_single_node_and_no_node_at_all(name: str, nodes: int) -> None:
    x, batch = torch.ones(nodes, FEATURES), torch.zeros(nodes, dtype=torch.int64)
    assert frozen(name, "node")(x, NO_EDGES).shape == (nodes, 3)
    assert frozen(name, "graph")(x, NO_EDGES, batch=batch).shape == (nodes, 3)


@pytest.mark.parametrize("name", ["gcn", "tag"])
def test_edges_without_weights_have_weight_1(name: str) -> None:
    model, graph = frozen(name, "node", (8,)), make_graph()
    x, edge_index = features(graph), graph.edge_index
    ones = torch.ones(edge_index.shape[1])
    assert torch.equal(model(x, edge_index), model(x, edge_index, ones))
    assert not torch.equal(model(x, edge_index), model(x, edge_index, arguments(model, graph)["edge_weight"]))


def replaced(**changes: Any) -> Callable[[dict[str, Tensor]], dict[str, Any]]:
    return lambda given: {**given, **changes}


WRONG = {
    "width": (
        lambda given: {**given, "x": torch.zeros(24, FEATURES - 1)},
        InputError,
        r"5 features a node where the model takes 6: give those that it was trained on, in their order",
    ),
    "whole numbers": (
        lambda given: {**given, "x": given["x"].long()},
        InputError,
        r"features are torch\.int64: convert them to a floating-point dtype",
    ),
    "one row": (lambda given: {**given, "x": given["x"][0]}, InputError, r"of shape \[6\]: give them as \[nodes, feat"),
    "sparse by columns": (
        lambda given: {**given, "x": given["x"].to_sparse_csc()},
        InputError,
        r"features are torch\.sparse_csc: give them dense, torch\.sparse_csr or torch\.sparse_coo",
    ),
    "NaN in sparse": (
        lambda given: {**given, "x": given["x"].index_fill(0, torch.tensor([5]), torch.nan).to_sparse()},
        InvalidGraphError,
        "the features of node 5 are not finite: replace NaN and infinity",
    ),
    "NaN": (
        lambda given: {**given, "x": given["x"].index_fill(0, torch.tensor([5]), torch.nan)},
        InvalidGraphError,
        "the features of node 5 are not finite: replace NaN and infinity",
    ),
    "another device": (
        lambda given: {**given, "x": given["x"].to("meta")},
        InputError,
        r"x is on meta, the model is on cpu: move one by \.to\(\)",
    ),
    "edges elsewhere": (
        lambda given: {**given, "edge_index": given["edge_index"].to("meta")},
        InputError,
        r"edge_index is on meta, the model is on cpu",
    ),
    "no such node": (
        replaced(edge_index=torch.tensor([[0], [24]])),
        InvalidGraphError,
        r"edge_index names node 24, but the graph has nodes 0\.\.\.23: x must have a row for every node",
    ),
    "negative node": (
        replaced(edge_index=torch.tensor([[-2], [0]])),
        InvalidGraphError,
        "edge_index names node -2",
    ),
    "transposed": (
        replaced(edge_index=torch.zeros(7, 2, dtype=torch.int64)),
        InvalidGraphError,
        r"not torch\.int64 of shape \[7, 2\]: transpose it",
    ),
    "float edges": (
        lambda given: {**given, "edge_index": given["edge_index"].float()},
        InvalidGraphError,
        r"edge_index must be integers of shape \[2, edges\], not torch\.float32",
    ),
    "flat edges": (
        replaced(edge_index=torch.zeros(4, dtype=torch.int64)),
        InvalidGraphError,
        r"of shape \[2, edges\], not torch\.int64 of shape \[4\]",
    ),
    "batch of others": (
        replaced(batch=torch.zeros(23, dtype=torch.int64)),
        InvalidGraphError,
        r"batch must be int64 of shape \[24\], not torch\.int64 \(23,\)",
    ),
    "negative graphs": (
        replaced(batch=torch.full((24,), -1)),
        InvalidGraphError,
        r"batch names graphs -1\.\.\.-1 where there are 0: number the graphs 0, 1, 2, \.\.\.",
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
@each_kind
@each_model
def test_mistakes_are_named_with_their_remedy(name: str, kind: str, mistake: str) -> None:
    model = frozen(name, kind)
    change, error, message = WRONG[mistake]
    given = {"x": features(make_graph()), "edge_index": make_graph().edge_index}
    with pytest.raises(error, match=message) as raised:
        model(**change(given))
    assert isinstance(raised.value, InputError)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.ones(3), r"edge_weight must be floating point of shape \[\d+\], one for each edge, not .* \[3\]"),
        (
            torch.ones(make_graph().edge_index.shape[1]).long(),
            r"edge_weight must be floating point .*, not torch\.int64",
        ),
        (torch.full((make_graph().edge_index.shape[1],), torch.nan), "edge_weight holds NaN or infinity: replace them"),
    ],
)
@pytest.mark.parametrize("name", ["gcn", "tag"])
def test_weights_must_be_finite_and_one_for_each_edge(name: str, weight: Tensor, message: str) -> None:
    with pytest.raises(InvalidGraphError, match=message):
        frozen(name, "node")(features(make_graph()), make_graph().edge_index, weight)


@pytest.mark.parametrize("name", ["sage", "gin", "gat"])
def test_weights_that_nothing_uses_are_refused(name: str) -> None:
    edge_index = make_graph().edge_index
    with pytest.raises(InputError, match="no use for edge weights: leave edge_weight out"):
        frozen(name, "node")(features(make_graph()), edge_index, torch.ones(edge_index.shape[1]))


@pytest.mark.parametrize("name", ["gcn", "sage", "gat", "tag"])
def test_features_far_beyond_those_of_training_are_refused(name: str) -> None:
    message = r"features beyond those of training: 1e\+20 .* the largest is \d+; normalise them alike"
    with pytest.raises(ScaleError, match=message):
        frozen(name, "node")(torch.full((24, FEATURES), 1e20), make_graph().edge_index)


@each_kind
@each_model
def test_the_number_of_features_is_known(name: str, kind: str) -> None:
    assert frozen(name, kind).num_features == FEATURES


def test_the_number_of_features_follows_from_what_takes_them_on() -> None:
    graph = make_graph()

    def of(*nodes: Node) -> int | None:
        model = calibrated(QuantizableModel(nodes, input_name="net.input"), features(graph), graph)
        return mixq_rl.IntegerModel.freeze(model, [4] * len(model.quantizers)).num_features

    names = ("lin.weight", "lin.output")
    act = Node("act", Activation(torch.tanh, "act.update"), (INPUT,))
    twice = Node("cat", Concatenate("cat.update"), ("act", "act"))
    assert of(act) is None
    assert of(act, Node("lin", Linear(6, 2, names=names), ("act",))) == 6
    assert of(act, twice, Node("lin", Linear(12, 2, names=names), ("cat",))) is None
    assert of(act, twice, Node("conv", GCNConv(6, 2, name="conv"), ("act",))) == 6


def test_what_no_step_says_is_still_refused() -> None:
    graph = make_graph()
    mlp = Linear(12, 3, names=("lin.weight", "lin.output"))
    nodes = [
        Node("act", Activation(torch.tanh, "act.update"), (INPUT,)),
        Node("cat", Concatenate("cat.update"), ("act", "act")),
        Node("gin", GINConv(mlp, name="gin"), ("cat",)),
    ]
    model = calibrated(QuantizableModel(nodes, input_name="net.input"), features(graph), graph)
    integers = mixq_rl.IntegerModel.freeze(model, [4] * len(model.quantizers))
    assert integers(features(graph), graph.edge_index).shape == (24, 3)
    with pytest.raises(InputError, match=r"linear of shapes \(24, 14\) and \(12, 3\): inner dimensions must agree"):
        integers(torch.zeros(24, 7), graph.edge_index)


def test_what_is_no_tensor_is_named() -> None:
    model, x, edge_index = frozen("gcn", "node"), features(make_graph()), make_graph().edge_index
    with pytest.raises(InputError, match=r"x must be a tensor, not ndarray: torch\.as_tensor"):
        model(x.numpy(), edge_index)
    with pytest.raises(InputError, match="edge_index must be a tensor, not list"):
        model(x, edge_index.tolist())
