"""Graph functions in a forward: the same in the three arithmetics, and applied in training."""

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_geometric.nn as pyg
import torch_geometric.utils
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric import utils
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import add_self_loops, coalesce, dropout_edge, remove_self_loops, to_undirected

from mixq_rl import IntegerModel, QuantizableModel
from mixq_rl.errors import UnsupportedLayerError
from mixq_rl.integer.program import export_program
from mixq_rl.nn import prepare
from tests.mixq_rl.nn.conversion.accepting import FEATURES, accept
from tests.mixq_rl.nn.float_models import CLASSES, random_graph

pytestmark = [pytest.mark.usefixtures("seeded"), pytest.mark.filterwarnings("ignore:.*dropout_adj.*")]

Forward = Callable[[Any, Tensor, Tensor, Any], Any]


class Model(nn.Module):
    """Two layers of each kind, and a forward given by the test."""

    def __init__(self, function: Forward) -> None:
        super().__init__()
        self.conv, self.last = pyg.GCNConv(FEATURES, FEATURES), pyg.GCNConv(FEATURES, CLASSES)
        self.plain = pyg.GCNConv(FEATURES, CLASSES, normalize=False)
        self.sage, self.gat = pyg.SAGEConv(FEATURES, CLASSES), pyg.GATConv(FEATURES, CLASSES, heads=2, concat=False)
        self.gin, self.tag = pyg.GINConv(nn.Linear(FEATURES, CLASSES)), pyg.TAGConv(FEATURES, CLASSES, K=2)
        self.function = function

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Any = None) -> Any:
        return self.function(self, x, edge_index, edge_weight)


def in_two_names(m: Any, x: Tensor, e: Tensor, w: Any) -> Tensor:
    e, _ = add_self_loops(e, num_nodes=x.size(0))
    e, _ = remove_self_loops(e)
    e, _ = add_self_loops(e, num_nodes=x.shape[0])
    return m.sage(x, e)


def imported_inside(m: Any, x: Tensor, e: Tensor, w: Any) -> Tensor:
    from torch_geometric.utils import add_remaining_self_loops

    return m.gin(x, add_remaining_self_loops(e)[0])


KEPT: dict[str, Forward] = {
    "add_self_loops": lambda m, x, e, w: m.conv(x, add_self_loops(e)[0]),
    "several": in_two_names,
    "imported inside": imported_inside,
    "by module": lambda m, x, e, w: m.sage(x, torch_geometric.utils.to_undirected(e)),
    "to_undirected": lambda m, x, e, w: m.gat(x, to_undirected(e)),
    "coalesce": lambda m, x, e, w: m.tag(x, coalesce(e)),
    "sort_edge_index": lambda m, x, e, w: m.sage(x, utils.sort_edge_index(e, num_nodes=x.size(0))),
    "remove_self_loops": lambda m, x, e, w: m.gin(x, remove_self_loops(e)[0]),
    "gcn_norm": lambda m, x, e, w: m.plain(x, *gcn_norm(e, None, x.size(0))),
    "gcn_norm without loops": lambda m, x, e, w: m.plain(x, *gcn_norm(e, add_self_loops=False)),
    "edges of gcn_norm": lambda m, x, e, w: m.sage(x, gcn_norm(e, num_nodes=x.size(0))[0]),
    "two forms of the edges": lambda m, x, e, w: m.sage(m.conv(x, e), to_undirected(e)) + m.gin(x, e),
}


@pytest.mark.parametrize("function", KEPT.values(), ids=KEPT)
def test_graph_functions(function: Forward) -> None:
    accept(Model(function))


def twice(m: Any, x: Tensor, e: Tensor, w: Any) -> Tensor:
    e, w = add_self_loops(e, w, fill_value=0.5)
    return m.last(m.conv(x, e, w).relu(), e, w)


WEIGHTED: dict[str, Forward] = {
    "two layers": twice,
    "remaining": lambda m, x, e, w: m.conv(x, *utils.add_remaining_self_loops(e, w, fill_value=2.0)),
    "remove": lambda m, x, e, w: m.plain(x, *remove_self_loops(e, w)),
    "coalesce": lambda m, x, e, w: m.tag(x, *coalesce(e, w, reduce="mean")),
    "to_undirected": lambda m, x, e, w: m.conv(x, *to_undirected(e, w, reduce="max")),
    "gcn_norm": lambda m, x, e, w: m.plain(x, *gcn_norm(e, w, x.size(0), improved=True)),
    "weights left out": lambda m, x, e, w: m.conv(x, add_self_loops(e, w)[0]),
    "gcn_norm without the weights": lambda m, x, e, w: m.plain(x, *gcn_norm(e, None, x.size(0))) + m.last(x, e, w),
    "dropout_adj": lambda m, x, e, w: m.conv(x, *utils.dropout_adj(e, w, p=0.2, training=m.training)),
}


@pytest.mark.parametrize("function", WEIGHTED.values(), ids=WEIGHTED)
def test_graph_functions_of_weights(function: Forward) -> None:
    accept(Model(function), graph=random_graph(weighted=True))


@pytest.mark.parametrize("name", ["several", "coalesce", "gcn_norm", "to_undirected"])
def test_files_and_programs_have_them(name: str, tmp_path: Path, x: Tensor) -> None:
    graph = random_graph()
    model = prepare(Model(KEPT[name])).eval()
    model.calibrate(x, graph, (8,))
    integer = IntegerModel.freeze(model, [8] * len(model.quantizers))
    integer.save(tmp_path)
    logits = integer(x, graph.edge_index)
    assert torch.equal(IntegerModel.load(tmp_path)(x, graph.edge_index), logits)
    assert not integer.takes_edge_weight
    assert torch.equal(export_program(integer).module()(x, graph.edge_index), logits)


def masked(m: Any, x: Tensor, e: Tensor, w: Any) -> Tensor:
    e, mask = dropout_edge(e, p=0.5, training=m.training)
    return m.last(m.conv(x, e, w[mask]), e, w[mask])


def guarded(m: Any, x: Tensor, e: Tensor, w: Any) -> Tensor:
    if m.training:
        e, _ = dropout_edge(e, p=0.5)
        x = functional.dropout(x, 0.5)
    return m.sage(x, e)


DROPPING: dict[str, Forward] = {
    "dropout_edge": lambda m, x, e, w: m.conv(x, dropout_edge(e, p=0.5, training=m.training)[0]),
    "undirected": lambda m, x, e, w: m.gat(x, dropout_edge(e, 0.5, force_undirected=True, training=m.training)[0]),
    "of nodes": lambda m, x, e, w: m.gin(x, utils.dropout_node(e, p=0.5, training=m.training)[0]),
    "guarded": guarded,
    "of undirected edges": lambda m, x, e, w: m.tag(x, dropout_edge(to_undirected(e), training=m.training)[0]),
}


def differs(prepared: QuantizableModel, x: Tensor, graph: Any) -> bool:
    with torch.no_grad():
        return not torch.equal(prepared(x, graph), prepared(x, graph))


@pytest.mark.parametrize("function", DROPPING.values(), ids=DROPPING)
def test_edges_are_dropped_in_training_only(function: Forward, x: Tensor) -> None:
    prepared, graph = accept(Model(function)), random_graph()
    assert differs(prepared.train(), x, graph)
    assert not differs(prepared.eval(), x, graph)
    calibrated = copy.deepcopy(prepared)
    calibrated.calibrate(x, graph, (8,))
    with calibrated.allocated([8] * len(calibrated.quantizers)):
        assert differs(calibrated.train(), x, graph)
        assert not differs(calibrated.eval(), x, graph)


def test_dropped_edges_with_weights(x: Tensor) -> None:
    graph = random_graph(weighted=True)
    prepared = accept(Model(masked), graph=graph)
    assert differs(prepared.train(), x, graph)


def test_dropped_edges_are_drawn_as_pytorch_geometric_does(x: Tensor) -> None:
    """With the same random numbers the training output is that of the model; one draw serves both layers."""

    def forward(m: Any, x: Tensor, e: Tensor, w: Any) -> Tensor:
        e, _ = dropout_edge(e, p=0.3, training=m.training)
        return m.sage(m.conv(x, e), e)

    model, graph = Model(forward).train(), random_graph()
    prepared = prepare(model)
    for seed in range(3):
        torch.manual_seed(seed)
        expected = model(x, graph.edge_index)
        torch.manual_seed(seed)
        torch.testing.assert_close(prepared(x, graph), expected, rtol=1e-5, atol=1e-6)


def test_each_call_draws_for_itself() -> None:
    def forward(m: Any, x: Tensor, e: Tensor, w: Any) -> Tensor:
        first, _ = dropout_edge(e, training=m.training)
        second, _ = dropout_edge(e, training=m.training)
        return m.sage(x, first) - m.sage(x, second)

    prepared, graph = prepare(Model(forward)), random_graph()
    x = torch.randn(graph.num_nodes, FEATURES)
    assert prepared.train()(x, graph).abs().max() > 0.01
    assert prepared.eval()(x, graph).abs().max() < 1e-6


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x, e, w: m.sage(functional.dropout(x, 0.5), e),
        lambda m, x, e, w: m.sage(x, dropout_edge(e, 0.5)[0]),
    ],
)
def test_dropout_that_is_never_off_is_named(function: Forward, caplog: pytest.LogCaptureFixture, x: Tensor) -> None:
    prepared, graph = prepare(Model(function)), random_graph()
    lines = [line for line in caplog.messages if "dropout" in line]
    assert len(lines) == 1
    assert "has training=True, and so is never off" in lines[0]
    assert differs(prepared.train(), x, graph)
    assert not differs(prepared.eval(), x, graph)


def test_another_computation_in_training_is_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    def forward(m: Any, x: Tensor, e: Tensor, w: Any) -> Tensor:
        x = functional.dropout(x, 0.5, training=m.training)
        return m.sage(x + torch.randn_like(x) if m.training else x, e)

    prepared = prepare(Model(forward))
    assert any("in training the model's forward computes something else" in line for line in caplog.messages)
    graph = random_graph()
    assert differs(prepared.train(), torch.randn(graph.num_nodes, FEATURES), graph)


def by_hand(m: Any, x: Tensor, e: Tensor, w: Any) -> Tensor:
    row, col = e
    norm = utils.degree(col, x.size(0)).pow(-0.5)
    return m.plain(x, e, norm[row] * norm[col])


REFUSED: list[tuple[Forward, str]] = [
    (by_hand, r"'degree' in the model's forward is not supported: GCNConv and gcn_norm normalise"),
    (lambda m, x, e, w: m.sage(x, utils.subgraph([0], e)[0]), r"'subgraph' .*: apply it to the data; .*add_self_loops"),
    (lambda m, x, e, w: m.sage(x, add_self_loops(e, num_nodes=7)[0]), r"'add_self_loops' .*num_nodes=7.*x.size\(0\)"),
    (lambda m, x, e, w: m.conv(x, *add_self_loops(e, w, "mean")), r"'add_self_loops' .*fill_value=mean"),
    (lambda m, x, e, w: m.conv(x, add_self_loops(e)[0], w), r"'conv' \(GCNConv\) takes weights of other edges"),
    (lambda m, x, e, w: m.conv(x, e, w * 2), r"'conv' \(GCNConv\) takes another edge_weight"),
    (lambda m, x, e, w: m.sage(x, e.flip(0)), r"'sage' \(SAGEConv\) takes another edge_index"),
    (lambda m, x, e, w: m.sage(x, dropout_edge(e, p=2.0)[0]), r"'dropout_edge' .*p=2.0"),
    (lambda m, x, e, w: m.sage(x, e) + add_self_loops(e)[0], r"'add' .* takes getitem where features are expected"),
    (lambda m, x, e, w: add_self_loops(e)[0], r"returns no features: let it return the logits"),
]


@pytest.mark.parametrize(("function", "message"), REFUSED)
def test_what_is_refused_by_name(function: Forward, message: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=message) as caught:
        prepare(Model(function))
    assert "()" not in str(caught.value)
