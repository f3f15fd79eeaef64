"""What cannot be converted is named, and with it what can."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch.nn import functional

from mixq_rl.errors import UnsupportedLayerError
from mixq_rl.nn import prepare
from mixq_rl.nn.conversion.modules import MODULES
from mixq_rl.nn.conversion.replacements import REPLACEMENTS
from tests.mixq_rl.nn.float_models import CLASSES, FEATURES

pytestmark = pytest.mark.usefixtures("seeded")


def hooked(path: str) -> nn.Module:
    model = pyg.GIN(FEATURES, 8, 2, CLASSES, norm="batch_norm")
    model.get_submodule(path).register_forward_hook(lambda *_: None)
    return model


class OwnConv(pyg.MessagePassing):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.propagate(edge_index, x=x)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (pyg.GCN(6, 8, 2, 3, norm="LayerNorm"), r"layer 'norms.0' \(LayerNorm\) has mode='graph'.*: use mode='node'"),
        (nn.LayerNorm((6, 6)), r"\(LayerNorm\) has normalized_shape=\(6, 6\).*: give it the number of columns"),
        (pyg.GCN(6, 8, 2, 3, norm="GraphNorm"), r"layer 'norms.0' \(GraphNorm\) is not supported: use BatchNorm"),
        (pyg.GCN(6, 8, 2, 3, jk="lstm"), r"layer 'jk' \(JumpingKnowledge\) has mode='lstm'.*: use 'cat' or 'max'"),
        (pyg.GCN(6, 8, 2, 3, act="PReLU"), r"layer 'act' \(PReLU\) .*: use LeakyReLU"),
        (pyg.GCN(6, 8, 2, 3, act="swish"), r"function 'mul' in the model's forward .*SiLU"),
        (pyg.GAT(6, 8, 2, 3, v2=True, edge_dim=2), r"'convs.0' \(GATv2Conv\) has edge_dim=2.*\n.*'convs.1'"),
        (pyg.GAT(6, 8, 2, 3, residual=True), r"'convs.0' \(GATConv\) has residual=True.*Linear"),
        (pyg.GAT(6, 8, 2, 3, edge_dim=2), r"has edge_dim=2"),
        (pyg.GAT(6, 8, 2, 3, add_self_loops=False), r"has add_self_loops=False"),
        (pyg.GAT((6, 6), 8, 2, 3), r"has in_channels=\(6, 6\)"),
        (pyg.GraphSAGE(6, 8, 2, 3, aggr="median"), r"'convs.0' \(SAGEConv\) has aggr='median'.*: use aggr='mean'"),
        (
            pyg.GraphConv(6, 8, aggr="max"),
            r"\(GraphConv\) has aggr='max' with edge weights.*: use aggr='add' or 'mean'",
        ),
        (pyg.ClusterGCNConv(6, 8, add_self_loops=False), r"\(ClusterGCNConv\) has add_self_loops=False"),
        (pyg.APPNP(K=0, alpha=0.1), r"\(APPNP\) has K=0.*: leave it out"),
        (pyg.APPNP(K=2, alpha=1.5), r"\(APPNP\) has alpha=1.5.*: choose 0 <= alpha <= 1"),
        (pyg.APPNP(K=2, alpha=0.1, dropout=0.5), r"\(APPNP\) has dropout=0.5.*Dropout before"),
        (pyg.SGConv(6, 8, K=0), r"\(SGConv\) has K=0.*Linear"),
        (pyg.GraphSAGE(6, 8, 2, 3, project=True), r"has project=True"),
        (pyg.GraphSAGE(6, 8, 2, 3, normalize=True), r"has normalize=True"),
        (pyg.GCN(6, 8, 2, 3, flow="target_to_source"), r"has flow='target_to_source'"),
        (pyg.GCN(6, 8, 2, 3, norm="BatchNorm", norm_kwargs={"track_running_stats": False}), r"track_running_stats"),
        (pyg.GCN(6, 8, 2, 3, norm="BatchNorm", norm_kwargs={"allow_single_element": True}), r"allow_single_element"),
        (pyg.EdgeCNN(6, 8, 2, 3), r"'convs.0' \(EdgeConv\) is not supported: use GraphConv or SAGEConv"),
        (pyg.GraphSAGE(-1, 8, 2, 3), r"'convs.0' \(SAGEConv\) has no weights yet: call the model once"),
        (pyg.TAGConv(6, 8, K=0), r"the model \(TAGConv\) has K=0.*Linear"),
        (hooked("convs.1"), r"'convs.1' \(GINConv\) has forward hooks"),
        (hooked("norms.0.module"), r"'norms.0.module' \(BatchNorm1d\) has forward hooks"),
        (
            nn.Sequential(nn.Linear(6, 8), nn.Softmax(dim=1), nn.Linear(8, 3)),
            r"'1' \(Softmax\) is not supported: return the logits",
        ),
        (
            pyg.Sequential("x, edge_index", [(OwnConv(), "x, edge_index -> x")]),
            r"\(OwnConv\).*supported are APPNP, ClusterGCNConv, GATConv",
        ),
        (nn.Identity(), r"the model"),
    ],
)
def test_unsupported_layers_are_named(model: nn.Module, message: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=message):
        prepare(model)


SUPPORTED = {layer.__name__ for layer in MODULES}
REFUSED = sorted(set(pyg.conv.__all__) - SUPPORTED - {"MessagePassing"})


@pytest.mark.parametrize("name", REFUSED)
def test_every_other_convolution_of_the_library_has_a_replacement_that_is_supported(name: str) -> None:
    remedy = REPLACEMENTS[name]
    assert "\n" not in remedy
    assert any(re.search(rf"\b{known}\b", remedy) for known in SUPPORTED)


def test_replacements_name_nothing_that_is_supported_already() -> None:
    assert not SUPPORTED & REPLACEMENTS.keys()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (pyg.TransformerConv(6, 6), r"\(TransformerConv\) is not supported: use GATConv or GATv2Conv"),
        (pyg.ChebConv(6, 6, K=2), r"\(ChebConv\) is not supported: use TAGConv, SGConv or APPNP"),
        (pyg.GINEConv(nn.Linear(6, 6)), r"\(GINEConv\) is not supported: edges have one weight and no features"),
        (pyg.GatedGraphConv(6, 2), r"\(GatedGraphConv\) is not supported: its gates multiply"),
        (pyg.LGConv(), r"\(LGConv\) is not supported: use APPNP with K=1, alpha=0 and add_self_loops=False"),
    ],
)
def test_convolutions_are_refused_by_name(layer: nn.Module, message: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=message):
        prepare(pyg.Sequential("x, edge_index", [(layer, "x, edge_index -> x")]))


class Hetero(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = pyg.HeteroConv({("paper", "cites", "paper"): pyg.SAGEConv(6, 6)})

    def forward(self, x_dict: Any, edge_index_dict: Any) -> Any:
        return self.conv(x_dict, edge_index_dict)["paper"]


class WithEdges(nn.Module):
    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, edge_index: Tensor, edges: Tensor) -> Tensor:
        return self.conv(x, edge_index, edges)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Hetero(), r"^layer 'conv' \(HeteroConv\) .*data\.to_homogeneous\(\)"),
        (WithEdges(pyg.RGCNConv(6, 6, 2)), r"^layer 'conv' \(RGCNConv\) .*data\.to_homogeneous\(\)"),
        (WithEdges(pyg.GINEConv(nn.Linear(6, 6))), r"^layer 'conv' \(GINEConv\) .*use GraphConv with edge weights"),
        (pyg.PointNetConv(), r"^the model \(PointNetConv\) .*not found by distances"),
        (WithEdges(pyg.GraphConv(6, 6)), r"^the model's forward takes 'edges'"),
    ],
)
def test_layers_that_need_other_graphs_are_refused_by_name(model: nn.Module, message: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=message):
        prepare(model)


class Forward(nn.Module):
    """One layer of each kind, and a forward given by the test."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.conv, self.conv2 = pyg.GCNConv(6, 6), pyg.GCNConv(6, 6)
        self.attention, self.scale = pyg.GATConv(6, 6), nn.Parameter(torch.ones(6))
        self.norm, self.group_norm = nn.BatchNorm1d(6), nn.GroupNorm(2, 6)
        self.function = function

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor, batch: Tensor) -> Any:
        return self.function(self, x, edge_index, edge_weight, batch)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda m, x, e, w, b: functional.log_softmax(m.conv(x, e), dim=0), r"'log_softmax' .*: return the logits"),
        (lambda m, x, e, w, b: m.conv(x, e) * m.scale, r"tensor 'scale' is used outside of a layer"),
        (lambda m, x, e, w, b: torch.stack([m.conv(x, e), x]).mean(0), r"'stack' .*: use torch.cat of columns, or \+"),
        (lambda m, x, e, w, b: m.conv(x / x.sum(-1, keepdim=True), e), r"'sum' .*; normalise rows in the data"),
        (lambda m, x, e, w, b: m.conv(x, e) + 1, r"function 'add' .* takes the constant 1"),
        (lambda m, x, e, w, b: m.conv(x, e) + w, r"function 'add' .* takes edge_weight"),
        (lambda m, x, e, w, b: m.conv(x, e, w * 2), r"'conv' \(GCNConv\) takes another edge_weight"),
        (lambda m, x, e, w, b: m.conv(x, e.flip(0)), r"'conv' \(GCNConv\) takes another edge_index"),
        (lambda m, x, e, w, b: m.attention(x, e, w), r"'attention' \(GATConv\) has edge_attr"),
        (lambda m, x, e, w, b: m.attention(x, e, size=(4, 4)), r"'attention' \(GATConv\) has arguments"),
        (
            lambda m, x, e, w, b: pyg.global_mean_pool(m.conv(x, e), None),
            r"'mean' .*hand them the model's batch",
        ),
        (lambda m, x, e, w, b: pyg.global_add_pool(m.conv(x, e), e), r"'global_add_pool' .* takes another batch"),
        (lambda m, x, e, w, b: torch.cat([x, m.conv(x, e)]), r"function 'cat' .* has dim=0.*dim=-1"),
        (lambda m, x, e, w, b: (m.conv(x, e), x), r"returns a tuple: let it return the logits alone"),
        (lambda m, x, e, w, b: x if x.sum() > 0 else m.conv(x, e), r"forward cannot be followed"),
        (
            lambda m, x, e, w, b: m.conv(m.group_norm(x), e).exp(),
            r"'group_norm' .*BatchNorm.*\n.*'exp' .*supported",
        ),
    ],
)
def test_unsupported_calls_are_named(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=message):
        prepare(Forward(function))


def test_unknown_arguments_are_named() -> None:
    class Adjacent(nn.Module):
        def forward(self, x: Tensor, adj_t: Tensor) -> Tensor:
            return x

    class Nothing(nn.Module):
        def forward(self) -> Tensor:
            return torch.zeros(1)

    with pytest.raises(UnsupportedLayerError, match="takes 'adj_t': of a graph it can be given x, edge_index"):
        prepare(Adjacent())
    with pytest.raises(UnsupportedLayerError, match="takes no features"):
        prepare(Nothing())
