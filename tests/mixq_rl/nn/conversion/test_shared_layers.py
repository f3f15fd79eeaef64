"""Layers that are called several times: one weight, and scales of each call."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn

from mixq_rl import IntegerModel, OpMeter, SupernetEvaluator, fit_supernet
from mixq_rl.integer.size import ModelSize
from mixq_rl.nn import prepare
from tests.mixq_rl.nn.conversion.accepting import FEATURES, accept
from tests.mixq_rl.nn.float_models import CLASSES, names, node_task, random_graph

pytestmark = pytest.mark.usefixtures("seeded")


class Repeated(nn.Module):
    def __init__(self, conv: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(FEATURES, 8), nn.Linear(8, CLASSES)
        self.conv = pyg.GCNConv(8, 8) if conv is None else conv

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.first(x)
        for _ in range(3):
            x = self.conv(x, edge_index).relu()
        return self.last(x)


class Branches(nn.Module):
    """A linear layer, an activation and a batch normalisation that two branches share."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.norm, self.act = nn.Linear(FEATURES, FEATURES), nn.BatchNorm1d(FEATURES), nn.ELU()
        self.conv, self.last = pyg.SAGEConv(FEATURES, FEATURES), nn.Linear(2 * FEATURES, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        left = self.act(self.norm(self.encode(x)))
        right = self.act(self.norm(self.encode(self.conv(x, edge_index))))
        return self.last(torch.cat([left, right], dim=1))


class Alias(nn.Module):
    """One layer under two names, and in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.one = pyg.GCNConv(FEATURES, FEATURES)
        self.other = self.one
        self.convs = nn.ModuleList([self.one, pyg.GCNConv(FEATURES, CLASSES)])

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.other(self.one(x, edge_index).relu(), edge_index).relu()
        for conv in self.convs:
            x = conv(x, edge_index)
        return x


class SharedBlock(nn.Module):
    """A block of a user's own class that is called twice, once with edge weights."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.BatchNorm1d(FEATURES), nn.ReLU())
        self.conv, self.last = pyg.GCNConv(FEATURES, FEATURES), pyg.GCNConv(FEATURES, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        x = self.block(self.conv(self.block(x), edge_index, edge_weight))
        return self.last(self.conv(x, edge_index), edge_index)


@pytest.mark.parametrize(
    "make",
    [
        Repeated,
        Branches,
        Alias,
        lambda: Repeated(pyg.SAGEConv(8, 8)),
        lambda: Repeated(pyg.GATConv(8, 4, heads=2)),
        lambda: Repeated(pyg.TAGConv(8, 8, K=2)),
        lambda: Repeated(pyg.GINConv(nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)), train_eps=True)),
    ],
)
def test_layers_called_several_times(make: Callable[[], nn.Module]) -> None:
    accept(make())


def test_a_shared_layer_with_and_without_edge_weights() -> None:
    prepared = accept(SharedBlock(), graph=random_graph(weighted=True))
    assert names(prepared).count("conv.weight") == 1


def test_components_of_each_call() -> None:
    assert names(prepare(Repeated())) == [
        *("first.input", "first.weight", "first.output"),
        *("conv.weight", "conv.message", "conv.adjacency", "conv.aggregate"),
        *("conv:2.message", "conv:2.adjacency", "conv:2.aggregate"),
        *("conv:3.message", "conv:3.adjacency", "conv:3.aggregate"),
        *("last.weight", "last.output"),
    ]


def test_one_parameter_is_trained_by_all_calls() -> None:
    prepared = prepare(Repeated())
    assert len(list(prepared.parameters())) == len(list(Repeated().parameters()))
    first, *others = [layer.linear for layer in prepared.layers if hasattr(layer, "linear")]
    assert [other.weight is first.weight for other in others] == [True, True]
    assert [other.weight_quantizer is first.weight_quantizer for other in others] == [True, True]


def test_supernet_files_and_size(x: Tensor, tmp_path: Path) -> None:
    graph = random_graph()
    task = node_task(x, graph)
    model = fit_supernet(prepare(Repeated(), task), task, (2, 8), epochs=2)
    allocation = [8] * len(model.quantizers)
    integer = IntegerModel.freeze(model, allocation)
    integer.save(tmp_path)
    loaded = IntegerModel.load(tmp_path)
    assert torch.equal(loaded(x, graph.edge_index), integer(x, graph.edge_index))
    size = ModelSize.of(loaded, tmp_path)
    assert size.weights == FEATURES * 8 + 8 * 8 + 8 * CLASSES
    assert loaded.nbytes == size.weights + 8 * (8 + 8 + CLASSES)  # a scale for each column
    conv = [step.weight.payload.data for step in loaded.steps if getattr(step, "names", ("",) * 3)[1] == "conv.weight"]
    assert len(conv) == 3
    assert len({weight.data_ptr() for weight in conv}) == 1
    assert sum(component.macs for component in model.components if component.name == "conv.weight") == 3 * 40 * 64
    with OpMeter() as meter:
        integer(x, graph.edge_index)
    assert [record.right for record in meter.records].count("conv.weight") == 3


def test_an_evaluator_searches_shared_layers(x: Tensor) -> None:
    task = node_task(x, random_graph())
    evaluator = SupernetEvaluator(prepare(Repeated(), task), task, bit_widths=(2, 8), epochs=1)
    allocations = [[8] * len(evaluator.components), [2] * len(evaluator.components)]
    eight, two = evaluator.evaluate(allocations)
    assert eight.bitops > two.bitops
    integer: Any = evaluator.freeze(allocations[0])
    assert task.accuracy(integer(x, task.edge_index), "validation") == eight.accuracy
