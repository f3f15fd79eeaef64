import copy
from collections.abc import Callable

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data

from mixq_rl.errors import UnsupportedLayerError
from mixq_rl.nn import Add, Linear, prepare
from tests.mixq_rl.nn.float_models import (
    CLASSES,
    FEATURES,
    Handwritten,
    assert_integers_agree,
    assert_same,
    names,
    random_graph,
    settled,
)

pytestmark = pytest.mark.usefixtures("seeded")


def test_a_model_written_by_hand(x: Tensor) -> None:
    graph = random_graph(graphs=5)
    model = settled(Handwritten())
    assert graph.batch is not None
    prepared = prepare(model)
    assert_same(model, prepared, x, graph, batch=graph.batch)
    assert_integers_agree(prepared, x, graph)
    found = names(prepared)
    assert {"first.weight", "convs.1.update_0", "encoder.convs.0.root", "tanh.update"} <= set(found)
    assert "global_mean_pool.aggregate" in found
    # One sum of three with its normalisation; the ReLU of the first layer is part of that.
    assert not {"norm.update", "relu.update"} & set(found)


def test_sequentials(x: Tensor) -> None:
    graph = random_graph(graphs=4)
    model = pyg.Sequential(
        "x, edge_index, batch",
        [
            (nn.Dropout(0.5), "x -> x"),
            (pyg.GCNConv(FEATURES, 8), "x, edge_index -> x1"),
            nn.ReLU(inplace=True),
            (pyg.GCNConv(8, 8), "x1, edge_index -> x2"),
            (lambda *parts: list(parts), "x1, x2 -> parts"),
            (pyg.JumpingKnowledge("cat"), "parts -> x"),
            (pyg.global_add_pool, "x, batch -> x"),
            nn.Sequential(nn.Linear(16, 8), nn.SiLU(), nn.Linear(8, CLASSES)),
        ],
    ).eval()
    prepared = prepare(model)
    assert graph.batch is not None
    assert_same(model, prepared, x, graph, batch=graph.batch)
    assert_integers_agree(prepared, x, graph)


def test_a_model_that_takes_data(x: Tensor) -> None:
    class OnData(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = pyg.GCNConv(FEATURES, 8), pyg.GCNConv(8, CLASSES)

        def forward(self, data: Data) -> Tensor:
            hidden = self.conv1(data.x, data.edge_index, data.edge_weight).relu()
            return self.conv2(hidden, data.edge_index)

    graph, model = random_graph(weighted=True), OnData().eval()
    expected = model(Data(x=x, edge_index=graph.edge_index, edge_weight=graph.edge_weight))
    torch.testing.assert_close(prepare(model)(x, graph), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "component"),
    [
        (functional.relu, "conv.aggregate"),
        (functional.gelu, "gelu.update"),
        (lambda h: functional.elu(h, 0.5), "elu.update"),
        (lambda h: functional.hardtanh(h, -0.5, 0.5), "hardtanh.update"),
        (torch.sigmoid, "sigmoid.update"),
        (functional.softplus, "softplus.update"),
        (lambda h: h + h, "add.update"),
        (lambda h: torch.max(h, h.relu()), "max_1.update"),
    ],
)
def test_functions(function: Callable[[Tensor], Tensor], component: str, x: Tensor) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = pyg.GCNConv(FEATURES, CLASSES)

        def forward(self, features: Tensor, edges: Tensor) -> Tensor:
            return function(self.conv(features, edges))

    model = Wrapped().eval()
    prepared = prepare(model)
    assert_same(model, prepared, x, random_graph())
    assert_integers_agree(prepared, x, random_graph())
    assert names(prepared)[-1] == component


def test_what_becomes_one_layer() -> None:
    model = prepare(settled(nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Identity(), nn.ReLU())))
    (layer,) = model.layers
    assert isinstance(layer, Linear)
    assert layer.relu
    assert layer.norm is not None
    alone = prepare(settled(nn.Sequential(nn.BatchNorm1d(6), nn.ReLU(), nn.ReLU())))
    assert [type(layer) for layer in alone.layers] == [Add, Add]


class Misnamed(nn.Module):
    """A layer named as a function or method is."""

    def __init__(self, name: str, layer: nn.Module) -> None:
        super().__init__()
        self.first, self.last, self.name = nn.Linear(FEATURES, 5), nn.Linear(5, CLASSES), name
        self.add_module(name, layer)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.last(self.get_submodule(self.name)(self.first(x)))


@pytest.mark.parametrize("name", ["relu", "add", "contiguous"])
@pytest.mark.parametrize("layer", [nn.LeakyReLU(0.2), nn.ELU(), nn.Linear(5, 5)])
def test_layers_may_be_named_as_functions_are(x: Tensor, name: str, layer: nn.Module) -> None:
    original, graph = Misnamed(name, copy.deepcopy(layer)).eval(), random_graph()
    expected = original(x, graph.edge_index)
    torch.testing.assert_close(prepare(original)(x, graph), expected, rtol=1e-6, atol=1e-6)


def test_an_unsupported_layer_named_relu_is_refused() -> None:
    with pytest.raises(UnsupportedLayerError, match=r"'relu' .*PReLU"):
        prepare(Misnamed("relu", nn.PReLU()))
