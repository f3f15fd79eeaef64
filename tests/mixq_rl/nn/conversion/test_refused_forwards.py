"""Forwards that are refused by name."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  as people write it
from torch import nn
from torch_geometric.nn import GCNConv

from mixq_rl.errors import UnsupportedLayerError
from mixq_rl.nn import prepare
from tests.mixq_rl.nn.conversion.accepting import FEATURES
from tests.mixq_rl.nn.float_models import CLASSES

pytestmark = pytest.mark.usefixtures("seeded")


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = GCNConv(FEATURES, 8), GCNConv(8, CLASSES)
        self.lin, self.bn, self.dropout = nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), 0.5
        self.alpha, self.act = 0.1, F.relu


class Takes(nn.Module):
    """One layer, and a forward given by the test."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.conv, self.weight = GCNConv(FEATURES, FEATURES), nn.Parameter(torch.ones(FEATURES, CLASSES))
        self.beta = nn.Parameter(torch.ones(()))
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.norm = nn.LayerNorm(FEATURES, elementwise_affine=False)
        self.function = function

    def forward(self, x, edge_index):
        return self.function(self, x, edge_index)


def with_forward(forward: Callable[..., Any]) -> nn.Module:
    model = type("Model", (Base,), {"forward": forward})
    return model()


REFUSED: list[tuple[Callable[[], nn.Module], str]] = [
    (
        lambda: Takes(lambda m, x, e: m.conv(x, e) @ m.weight),
        r"tensor 'weight' is used outside of a layer: let a Linear",
    ),
    (lambda: Takes(lambda m, x, e: m.conv(x - m.mean, e)), r"tensor 'mean' is used outside of a layer"),
    (lambda: Takes(lambda m, x, e: m.conv(x, e) * m.beta), r"tensor 'beta' is used outside of a layer.*alpha.item\(\)"),
    (lambda: Takes(lambda m, x, e: m.conv(x, e) * torch.ones(FEATURES)), r"a tensor made in forward is used outside"),
    (lambda: Takes(lambda m, x, e: m.conv(x, e) * 0), r"'mul' .*multiplies by 0"),
    (lambda: Takes(lambda m, x, e: m.conv(x, e) + 1), r"'add' .*takes the constant 1 where features are expected"),
    (lambda: Takes(lambda m, x, e: m.conv(x, e) * x), r"'mul' .*multiplies two values.*SiLU"),
    (lambda: Takes(lambda m, x, e: 1 / m.conv(x, e)), r"'truediv' .*divides"),
    (lambda: Takes(lambda m, x, e: m.conv(x, e)[:, :2]), r"'getitem' .*choose or reshape columns before"),
    (lambda: Takes(lambda m, x, e: m.conv(x, e).view(-1, 2)), r"'view' .*columns"),
    (lambda: Takes(lambda m, x, e: F.log_softmax(m.conv(x, e), dim=0)), r"'log_softmax' .*: return the logits"),
    (lambda: Takes(lambda m, x, e: m.conv(F.softmax(x, dim=1), e)), r"'softmax' .*: return the logits"),
    (lambda: Takes(lambda m, x, e: {"logits": m.conv(x, e)}), r"returns a dict: let it return the logits alone"),
    (lambda: Takes(lambda m, x, e: (m.conv(x, e), x)), r"returns a tuple: let it return the logits"),
    (lambda: Takes(lambda m, x, e: None), r"returns a NoneType: let it return the logits"),
    (lambda: Takes(lambda m, x, e: m.conv(x, e) if len(x) > 3 else x), r"forward cannot be followed \(.+\)"),
    (lambda: Takes(lambda m, x, e: m.missing(x)), r"forward cannot be followed \(.*has no attribute 'missing'\)"),
    (lambda: Takes(lambda m, x, e: (_ for _ in ()).throw(ValueError())), r"cannot be followed \(ValueError\)"),
    (lambda: with_forward(lambda self, x, adj_t: self.conv1(x, adj_t)), r"takes 'adj_t': .*edge_index"),
    (lambda: with_forward(lambda self, x, adj: torch.mm(adj, x)), r"takes 'adj': of a graph it can be given"),
    (lambda: with_forward(lambda self, x, edge_index, pos: x), r"takes 'pos': .*give other arguments a default"),
    (
        lambda: with_forward(lambda self, x_dict, edge_index_dict: x_dict),
        r"takes 'x_dict', of a graph of several types",
    ),
    (lambda: with_forward(lambda self, data: self.conv1(data.pos, data.edge_index)), r"it reads 'pos' of the graph"),
    (lambda: with_forward(lambda self, g: self.conv1(g.x, g.adj_t)), r"it reads 'adj_t' of the graph"),
    (lambda: with_forward(lambda self: self.lin(torch.ones(2, 2))), r"takes no features: let x be its first"),
    (lambda: Takes(lambda m, x, e: m.conv(x.long(), e)), r"'long' in the model's forward is not supported"),
    (lambda: Takes(lambda m, x, e: m.conv(x, e) ** 2), r"'pow' .*use an activation"),
    (lambda: Takes(lambda m, x, e: m.conv((x, x), e)), r"'conv' \(GCNConv\) takes several values where features"),
    (lambda: Takes(lambda m, x, e: m.conv(x)), r"missing .*'edge_index'.*: hand it on; .*Sequential does"),
    (lambda: nn.Module(), r"has no forward|takes no features"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_is_refused_by_name(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=message) as caught:
        prepare(make())
    assert " ()" not in str(caught.value)
    assert "\n" not in str(caught.value)
