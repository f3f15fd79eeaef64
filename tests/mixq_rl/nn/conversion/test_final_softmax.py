"""Models whose forward ends with a softmax."""

import logging
from collections.abc import Callable

import pytest
import torch.nn.functional as F  # noqa: N812  as people write it
from torch import nn
from torch_geometric.nn import GCNConv
from torch_geometric.utils import dropout_edge

from tests.mixq_rl.nn.conversion.accepting import FEATURES, accept
from tests.mixq_rl.nn.float_models import CLASSES

pytestmark = pytest.mark.usefixtures("seeded")


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = GCNConv(FEATURES, 8), GCNConv(8, CLASSES)
        self.lin, self.bn, self.dropout = nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), 0.5
        self.alpha, self.act = 0.1, F.relu


class LogSoftmax(Base):
    def forward(self, x, edge_index):
        return F.log_softmax(self.conv2(self.conv1(x, edge_index).relu(), edge_index), dim=1)


class LogSoftmaxModule(Base):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.LogSoftmax(dim=-1)

    def forward(self, x, edge_index):
        return self.out(self.conv2(self.conv1(x, edge_index).relu(), edge_index))


class LogSoftmaxMethod(Base):
    def forward(self, x, edge_index):
        x = self.conv2(self.conv1(x, edge_index).relu(), edge_index)
        return x.log_softmax(dim=-1)


class DropEverything(Base):
    def forward(self, data):
        x, edge_index = data.x, data.edge_index
        edge_index, _ = dropout_edge(edge_index, p=0.2, training=self.training)
        x = F.dropout(x, p=0.6, training=self.training)
        x = F.elu(self.conv1(x, edge_index))
        x = F.dropout(x, p=0.6, training=self.training)
        return F.log_softmax(self.conv2(x, edge_index), dim=1)


@pytest.mark.parametrize("make", [LogSoftmax, LogSoftmaxModule, LogSoftmaxMethod, DropEverything])
def test_a_softmax_at_the_end_is_left_out(make: Callable[[], nn.Module], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    accept(make(), like="log_softmax")
    assert any("at the end of the model is left out: the network gives its logits" in line for line in caplog.messages)
