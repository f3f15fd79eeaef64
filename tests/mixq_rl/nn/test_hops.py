import pytest
import torch
from torch import nn
from torch_geometric.nn import GraphConv, SAGEConv

import mixq_rl
from mixq_rl.datasets import GraphTask
from mixq_rl.nn import prepare
from mixq_rl.nn.hops import count_hops, sums_neighbours

pytestmark = pytest.mark.usefixtures("seeded")


@pytest.mark.parametrize(
    ("name", "layers", "hops", "sums"),
    [
        ("gcn", 2, 2, False),
        ("sage", 3, 3, False),
        ("gin", 2, 2, True),
        ("gat", 2, 2, False),
        ("gatv2", 1, 1, False),
        ("tag", 2, 6, False),
        ("graphconv", 2, 2, True),
        ("appnp", 2, 10, False),
    ],
)
def test_hops_of_the_built_in_models(task: GraphTask, name: str, layers: int, hops: int, sums: bool) -> None:
    model = mixq_rl.build_model(name, task, num_layers=layers, hidden_channels=8)
    assert count_hops(model, task.num_features) == hops
    assert sums_neighbours(model) == sums


class Branches(nn.Module):
    """Two layers beside one, which takes a maximum of the input, as the first of the two does."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.first = SAGEConv(features, 8, aggr="max")
        self.second = SAGEConv(8, classes, aggr="mean")
        self.beside = SAGEConv(features, classes, aggr="max")

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        one: torch.Tensor = self.second(self.first(x, edge_index).relu(), edge_index)
        two: torch.Tensor = self.beside(x, edge_index)
        return one + two


def test_the_longest_path_counts(task: GraphTask) -> None:
    model = prepare(Branches(task.num_features, task.num_classes), task)
    assert count_hops(model, task.num_features) == 2
    assert not sums_neighbours(model)


def test_a_pooling_of_graphs_is_no_hop(graph_task: GraphTask) -> None:
    model = mixq_rl.build_model("gcn", graph_task, num_layers=3, hidden_channels=8)
    assert count_hops(model, graph_task.num_features) == 3
    assert not sums_neighbours(model)


class Added(nn.Module):
    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.conv = GraphConv(features, classes, aggr="mean")

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.conv(x, edge_index)
        return result


def test_means_are_no_sums(task: GraphTask) -> None:
    assert not sums_neighbours(prepare(Added(task.num_features, task.num_classes), task))
