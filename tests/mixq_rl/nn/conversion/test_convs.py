import pytest
import torch_geometric.nn as pyg
from torch import Tensor, nn

from mixq_rl.nn import prepare
from tests.mixq_rl.nn.float_models import (
    CLASSES,
    FEATURES,
    assert_integers_agree,
    assert_same,
    node_task,
    random_graph,
    settled,
)

pytestmark = pytest.mark.usefixtures("seeded")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"add_self_loops": False},
        {"normalize": False},
        {"bias": False, "cached": True},
        {"improved": True},
    ],
)
def test_gcn_with_and_without_edge_weights(options: dict[str, bool], weighted: bool, x: Tensor) -> None:
    graph = random_graph(weighted=weighted)
    model = settled(pyg.GCN(FEATURES, 8, 2, CLASSES, **options))
    weight = {"edge_weight": graph.edge_weight} if weighted else {}
    task = node_task(x, graph)
    prepared = prepare(model, task)
    assert_same(model, prepared, x, graph, **weight)
    assert_integers_agree(prepared, x, graph)
    if not options.get("improved"):
        assert_same(model, prepare(model), x, graph, **weight)


def test_edge_weights_that_the_model_ignores_stay_ignored(x: Tensor) -> None:
    class Unweighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = pyg.GCNConv(FEATURES, CLASSES)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.conv(x, edge_index)

    model = Unweighted().eval()
    assert_same(model, prepare(model), x, random_graph(weighted=True))


@pytest.mark.parametrize(
    "conv",
    [
        pyg.SAGEConv(FEATURES, 5, aggr="sum"),
        pyg.SAGEConv(FEATURES, 5, root_weight=False),
        pyg.SAGEConv((FEATURES, FEATURES), 5, bias=False),
        pyg.SAGEConv(FEATURES, 5, aggr="max"),
        pyg.SAGEConv(FEATURES, 5, aggr="max", root_weight=False, bias=False),
        pyg.GraphConv(FEATURES, 5),
        pyg.GraphConv(FEATURES, 5, aggr="mean", bias=False),
        pyg.Sequential("x, edge_index", [(pyg.GraphConv(FEATURES, 5, aggr="max"), "x, edge_index -> x")]),
        pyg.ClusterGCNConv(FEATURES, 5, diag_lambda=0.5),
        pyg.ClusterGCNConv(FEATURES, 5, bias=False),
        pyg.APPNP(K=3, alpha=0.2),
        pyg.APPNP(K=2, alpha=0.5, add_self_loops=False),
        pyg.APPNP(K=2, alpha=0.5, normalize=False),
        pyg.SGConv(FEATURES, 5, K=2),
        pyg.SGConv(FEATURES, 5, K=1, add_self_loops=False, bias=False),
        pyg.GATConv(FEATURES, 5, heads=3),
        pyg.GATConv(FEATURES, 5, heads=3, concat=False, bias=False, negative_slope=0.4),
        pyg.GATv2Conv(FEATURES, 5, heads=3),
        pyg.GATv2Conv(FEATURES, 5, heads=2, concat=False, bias=False, negative_slope=0.4),
        pyg.GATv2Conv(FEATURES, 5, heads=2, share_weights=True),
        pyg.TAGConv(FEATURES, 5, K=2),
        pyg.TAGConv(FEATURES, 5, K=1, normalize=False, bias=False),
        pyg.GINConv(nn.Sequential(nn.Linear(FEATURES, 5), nn.BatchNorm1d(5), nn.ReLU(inplace=True)), eps=0.5),
        pyg.GINConv(nn.Sequential(nn.Linear(FEATURES, 5, bias=False), nn.Tanh()), train_eps=True, eps=-0.25),
    ],
    ids=str,
)
def test_options_of_convolutions(conv: nn.Module, x: Tensor) -> None:
    model = settled(conv)
    prepared = prepare(model)
    assert_same(model, prepared, x, random_graph())
    assert_integers_agree(prepared, x, random_graph())


@pytest.mark.parametrize(
    "conv",
    [
        pyg.GraphConv(FEATURES, CLASSES),
        pyg.GraphConv(FEATURES, CLASSES, aggr="mean"),
        pyg.APPNP(K=2, alpha=0.1),
        pyg.APPNP(K=2, alpha=0.1, normalize=False),
        pyg.SGConv(FEATURES, CLASSES, K=2),
    ],
    ids=str,
)
def test_convolutions_with_edge_weights(conv: nn.Module, x: Tensor) -> None:
    graph = random_graph(weighted=True)
    model = settled(conv)
    prepared = prepare(model)
    assert_same(model, prepared, x, graph, edge_weight=graph.edge_weight)
    assert_integers_agree(prepared, x, graph)


@pytest.mark.parametrize(
    "model",
    [
        pyg.GCN(FEATURES, 8, 2, CLASSES, norm="LayerNorm", norm_kwargs={"mode": "node"}),
        pyg.GCN(FEATURES, 8, 2, CLASSES, norm=nn.LayerNorm(8, elementwise_affine=False)),
        pyg.GCN(FEATURES, 8, 2, CLASSES, norm=nn.LayerNorm(8, bias=False), act="tanh"),
    ],
    ids=["mode='node'", "torch", "torch without bias"],
)
def test_layer_normalisation(model: nn.Module, x: Tensor) -> None:
    model = settled(model)
    prepared = prepare(model)
    assert_same(model, prepared, x, random_graph())
    assert_integers_agree(prepared, x, random_graph())


def test_epsilon_is_learned_where_the_model_learns_it() -> None:
    for train_eps in (False, True):
        prepared = prepare(pyg.GINConv(nn.Linear(FEATURES, 5), eps=0.5, train_eps=train_eps))
        learned = {name for name, parameter in prepared.named_parameters() if parameter.requires_grad}
        assert ("layers.0.propagate.epsilon" in learned) is train_eps
