"""Forwards that take a graph in another form: an object, a batch, other names or orders of arguments."""

from collections.abc import Callable
from typing import Optional

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  as people write it
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import global_add_pool, global_mean_pool
from torch_geometric.utils import add_self_loops

from tests.mixq_rl.nn.conversion.accepting import accept
from tests.mixq_rl.nn.conversion.peoples import Base
from tests.mixq_rl.nn.float_models import random_graph

pytestmark = pytest.mark.usefixtures("seeded")


class OnData(Base):
    def forward(self, data):
        x, edge_index = data.x, data.edge_index
        x = F.dropout(F.relu(self.conv1(x, edge_index)), p=self.dropout, training=self.training)
        return self.conv2(x, edge_index)


class OnG(Base):
    def forward(self, g):
        h = self.conv1(g.x, g.edge_index).relu()
        return self.conv2(h, g.edge_index)


class OnGraph(Base):
    def forward(self, graph: Data):
        return self.conv2(self.conv1(graph.x, graph.edge_index, graph.edge_weight).tanh(), graph.edge_index)


class OnSample(Base):
    def forward(self, sample, verbose=False, **unused):
        x, e = sample["x"], sample["edge_index"]
        e, _ = add_self_loops(e, num_nodes=sample.num_nodes)
        return self.conv2(self.conv1(x.to(torch.float32) if verbose else x, e).relu(), e)


class OnBatch(Base):
    def forward(self, batch):
        x = self.conv1(batch.x, batch.edge_index).relu()
        x = self.conv2(x, batch.edge_index)
        return global_mean_pool(x, batch.batch)


class OnAnnotatedBatch(Base):
    def forward(self, b: Batch) -> Tensor:
        w = b.edge_attr if hasattr(b, "pos") else None
        x = F.relu(self.conv1(b.x, b.edge_index, w))
        return global_add_pool(self.conv2(x, b.edge_index), b.batch)


class KeywordOnly(Base):
    def forward(self, x: Tensor, edge_index: Tensor, *, edge_weight: Optional[Tensor] = None) -> Tensor:  # noqa: UP045
        return self.conv2(F.elu(self.conv1(x, edge_index, edge_weight)), edge_index, edge_weight)


class Positional(Base):
    def forward(self, x, edge_index, /, *args, size=None):
        return self.conv2(self.act(self.conv1(x, edge_index)), edge_index)


class EdgeAttr(Base):
    def forward(self, x, edge_index, edge_attr=None):
        return self.conv2(self.conv1(x, edge_index, edge_attr).relu(), edge_index)


class RequiredEdgeAttr(Base):
    def forward(self, x, edge_index, edge_attr):
        return self.conv2(self.conv1(x, edge_index, edge_attr).relu(), edge_index, edge_attr)


class OtherNames(Base):
    def forward(self, features, edges, edge_weights=None):
        return self.conv2(F.leaky_relu_(self.conv1(features, edges)), edges)


FORMS: list[Callable[[], nn.Module]] = [
    *(OnData, OnG, OnGraph, OnSample, KeywordOnly, Positional, EdgeAttr, OtherNames),
]


@pytest.mark.parametrize("make", FORMS)
def test_forms_for_nodes(make: Callable[[], nn.Module]) -> None:
    accept(make())


@pytest.mark.parametrize("make", [KeywordOnly, RequiredEdgeAttr, OnGraph])
def test_forms_for_weighted_graphs(make: Callable[[], nn.Module]) -> None:
    accept(make(), graph=random_graph(weighted=True))


@pytest.mark.parametrize("make", [OnBatch, OnAnnotatedBatch])
def test_forms_for_graphs(make: Callable[[], nn.Module]) -> None:
    accept(make(), graph=random_graph(graphs=5))
