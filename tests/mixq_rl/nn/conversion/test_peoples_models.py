"""Models as people write them: arguments, results, sums and numbers, containers."""

import logging
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  as people write it
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, GINConv, SAGEConv, global_add_pool, global_max_pool, global_mean_pool
from torch_geometric.utils import dropout_edge

from mixq_rl.nn import prepare
from tests.mixq_rl.nn.conversion.accepting import FEATURES, accept
from tests.mixq_rl.nn.conversion.peoples import Base
from tests.mixq_rl.nn.float_models import CLASSES, names, random_graph

pytestmark = pytest.mark.usefixtures("seeded")


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


class Residual(Base):
    def forward(self, x, edge_index):
        h = self.lin(x)
        h = h + self.alpha * self.conv1(x, edge_index).relu()
        h += 0.5 * F.relu(h)
        return self.conv2(h, edge_index)


class Halved(Base):
    def forward(self, x, edge_index):
        h = (self.conv1(x, edge_index) + self.lin(x)) / 2
        h = (1 - self.alpha) * h + self.alpha * self.lin(x)
        h *= 2
        return self.conv2(h.relu(), edge_index)


class Difference(Base):
    def forward(self, x, edge_index):
        left, right = self.conv1(x, edge_index), self.lin(x)
        return self.conv2(torch.sub(left, right, alpha=0.3) - (-right) + torch.add(left, right, alpha=2), edge_index)


class Scaled(Base):
    def forward(self, x, edge_index):
        x = x * 0.25
        x = self.bn(self.conv1(x, edge_index).mul(3.0)).relu_()
        return self.conv2(x, edge_index).div(4)


class InPlace(Base):
    def forward(self, x, edge_index):
        h = self.conv1(x, edge_index)
        h -= self.lin(x)
        h.mul_(0.5).add_(self.lin(x))
        h /= 3
        return self.conv2(torch.relu_(h), edge_index)


class MeanOfLayers(Base):
    def forward(self, x, edge_index):
        hs = [self.lin(x), self.conv1(x, edge_index), self.lin(x).tanh()]
        return self.conv2(sum(hs) / len(hs), edge_index)


class InitialResidual(nn.Module):
    """As GCNII and APPNP mix: every layer sees the first features."""

    def __init__(self) -> None:
        super().__init__()
        self.lins = nn.ModuleList([nn.Linear(FEATURES, 8), nn.Linear(8, CLASSES)])
        self.prop = GCNConv(8, 8, bias=False)

    def forward(self, x, adj):
        return x

    def forward(self, x, edge_index):  # noqa: F811
        x = x0 = self.lins[0](x).relu()
        for _ in range(2):
            x = 0.9 * self.prop(x, edge_index) + 0.1 * x0
        return self.lins[1](x)


class Dense(nn.Module):
    """Layers in containers, normalisation of each, concatenation of all."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(SAGEConv(FEATURES if not i else 8, 8) for i in range(3))
        self.bns = nn.ModuleDict({str(i): nn.BatchNorm1d(8) for i in range(3)})
        self.head = nn.Sequential(
            nn.Linear(24, 8), nn.PReLU() if False else nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, CLASSES)
        )

    def forward(self, x, edge_index):
        outs = []
        for i, conv in enumerate(self.convs):
            x = F.dropout(self.bns[str(i)](conv(x, edge_index)).relu(), 0.3, self.training)
            outs.append(x)
        return self.head(torch.cat(outs, -1))


class EncoderDecoder(nn.Module):
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = GATConv(FEATURES, 4, heads=2)

        def forward(self, x, edge_index, return_all=False):
            h = F.elu(self.conv(x, edge_index))
            return (h, x) if return_all else h

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = self.Encoder(), nn.Linear(8 + FEATURES, CLASSES)

    def forward(self, x, edge_index):
        h, x0 = self.encoder(x, edge_index, return_all=True)
        return self.decoder(torch.hstack([h, x0]) if False else torch.cat((h, x0), dim=1))


class Readout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        mlp = nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8))
        self.conv, self.last = GINConv(mlp, train_eps=True), nn.Linear(24, CLASSES)

    def forward(self, x, edge_index, batch):
        x = self.conv(x, edge_index).relu()
        pooled = [global_add_pool(x, batch), global_mean_pool(x, batch), global_max_pool(x, batch)]
        return self.last(torch.cat(pooled, dim=1))


class OptionalBatch(Base):
    def forward(self, x, edge_index, batch=None):
        x = self.conv2(self.conv1(x, edge_index).relu(), edge_index)
        return x if batch is None else global_mean_pool(x, batch)


class StringForward(Base):
    def forward(self, x: "Tensor", edge_index: "torch.Tensor") -> "Tensor":
        for conv, last in zip((self.conv1, self.conv2), (False, True)):  # noqa: B905
            x = conv(x, edge_index)
            x = x if last else F.silu(x)
        return x


class NoGraph(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(FEATURES, 8), nn.GELU(), nn.Linear(8, CLASSES))

    def forward(self, x, edge_index=None):
        return self.net(x)


class DropEverything(Base):
    def forward(self, data):
        x, edge_index = data.x, data.edge_index
        edge_index, _ = dropout_edge(edge_index, p=0.2, training=self.training)
        x = F.dropout(x, p=0.6, training=self.training)
        x = F.elu(self.conv1(x, edge_index))
        x = F.dropout(x, p=0.6, training=self.training)
        return F.log_softmax(self.conv2(x, edge_index), dim=1)


class Precomputed(Base):
    """A number that is computed from attributes, and flow that depends on them."""

    def __init__(self, skip: bool = True) -> None:
        super().__init__()
        self.skip, self.beta = skip, torch.tensor(0.25).item()

    def forward(self, x, edge_index):
        h = self.conv1(x, edge_index)
        if self.skip:
            h = h + self.lin(x) * (1.0 - self.beta)
        return self.conv2(h.relu() if h is not None else h, edge_index)


class OnesWithoutWeights(Base):
    def forward(self, x, edge_index, edge_weight=None):
        if edge_weight is None:
            edge_weight = torch.ones(edge_index.size(1), device=edge_index.device)
        x = self.conv1(x, edge_index, edge_weight).relu()
        return self.conv2(x, edge_index, edge_index.new_ones((edge_index.shape[1],)).float())


class Casts(Base):
    def forward(self, data):
        x, edge_index = data.x.float(), data.edge_index.long()
        x = self.conv1(x.detach(), edge_index).to(torch.float32).clone()
        return self.conv2((x.to_dense() if x.is_sparse else x).cpu(), edge_index)


class Clamped(Base):
    def forward(self, x, edge_index):
        x = torch.clamp(self.conv1(x, edge_index), min=0)
        return self.conv2(x.add(x).clamp_(-0.5, 0.5), edge_index)


NODE_MODELS: list[Callable[[], nn.Module]] = [
    *(Residual, Halved, Difference, Scaled, InPlace, MeanOfLayers, InitialResidual, Dense, EncoderDecoder),
    *(StringForward, NoGraph, Precomputed, OnesWithoutWeights, Casts, Clamped),
]


@pytest.mark.filterwarnings("ignore:An output with one or more elements")
@pytest.mark.parametrize("make", NODE_MODELS)
def test_models_of_nodes(make: Callable[[], nn.Module]) -> None:
    accept(make())


@pytest.mark.parametrize("make", [Readout, OptionalBatch])
def test_models_of_graphs(make: Callable[[], nn.Module]) -> None:
    accept(make(), graph=random_graph(graphs=5))


@pytest.mark.parametrize("make", [LogSoftmax, LogSoftmaxModule, LogSoftmaxMethod, DropEverything])
def test_a_softmax_at_the_end_is_left_out(make: Callable[[], nn.Module], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    accept(make(), like="log_softmax")
    assert any("at the end of the model is left out: the network gives its logits" in line for line in caplog.messages)


def test_a_weighted_sum_is_one_component() -> None:
    found = names(prepare(Residual()))
    assert [name for name in found if name.endswith(".update")] == [
        "add.update",
        "relu_1.update",
        "add_.update",
    ]
