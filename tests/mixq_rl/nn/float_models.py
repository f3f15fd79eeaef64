"""Float models to prepare, and what a prepared one must compute."""

import copy
import random
from typing import Any

import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch.nn import functional

from mixq_rl import IntegerModel, QuantizableModel
from mixq_rl.datasets import GraphTask
from mixq_rl.graph import Graph

NODES, FEATURES, CLASSES = 40, 6, 3


MODELS = {"GCN": pyg.GCN, "GraphSAGE": pyg.GraphSAGE, "GIN": pyg.GIN, "GAT": pyg.GAT}


NORMS = (None, "batch_norm", "BatchNorm1d")


JUMPS = (None, "last", "cat", "max")


def random_graph(seed: int = 0, *, weighted: bool = False, graphs: int | None = None) -> Graph:
    """Duplicate edges, self-loops and nodes without neighbours among them."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(NODES - 2, (2, 120), generator=generator)
    batch = None if graphs is None else torch.arange(NODES) * graphs // NODES
    weight = torch.rand(120, generator=generator) + 0.1 if weighted else None
    return Graph(edge_index, NODES, edge_weight=weight, batch=batch)


def make(name: str, *, norm: str | None = None, **options: Any) -> nn.Module:
    """One of PyTorch Geometric's models, as after training: with statistics and biases."""
    kind = nn.BatchNorm1d(8) if norm == "BatchNorm1d" else norm
    return settled(MODELS[name](FEATURES, 8, 3, CLASSES, dropout=0.3, norm=kind, **options))


def settled(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    return model.eval()


def assert_same(model: nn.Module, prepared: QuantizableModel, x: Tensor, graph: Graph, **extra: Tensor) -> None:
    """The float outputs agree to 1e-6 of the greatest magnitude."""
    with torch.no_grad():
        expected, found = model(x, graph.edge_index, **extra), prepared(x, graph)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 * float(expected.abs().max()))


def assert_integers_agree(prepared: QuantizableModel, x: Tensor, graph: Graph, bits: tuple[int, ...] = (2, 7)) -> None:
    """Integer execution gives exactly what fake quantization in float64 does, at a random allocation."""
    model = copy.deepcopy(prepared).eval()
    model.calibrate(x, graph, bits)
    model.double()
    allocation = [random.choice(bits) for _ in model.quantizers]
    integer = IntegerModel.freeze(model, allocation)
    found = integer.execute(integer.quantize_features(x.double()), integer.quantize_graph(graph)).dequantize()
    with model.evaluating(), model.allocated(allocation):
        torch.testing.assert_close(found, model(x.double(), graph), rtol=1e-12, atol=0)


def names(model: QuantizableModel) -> list[str]:
    return [quantizer.name for quantizer in model.quantizers]


def node_task(x: Tensor, graph: Graph) -> GraphTask:
    part = torch.arange(NODES) % 3
    masks = {"train": part == 0, "validation": part == 1, "test": part == 2}
    y = torch.arange(NODES) % CLASSES
    return GraphTask("nodes", x, graph.edge_index, y, masks, edge_weight=graph.edge_weight)


class Handwritten(nn.Module):
    """Functions, residuals, changes in place, a nested model, pooling and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, 8)
        self.convs = nn.ModuleList([pyg.GCNConv(8, 8), pyg.TAGConv(8, 8, K=1)])
        self.norm = pyg.BatchNorm(8)
        self.encoder = pyg.GraphSAGE(8, 8, 2, jk="max")
        self.relu = nn.ReLU(inplace=True)
        self.pool = pyg.MaxAggregation()
        self.head = pyg.MLP([16, 8, CLASSES], dropout=0.2)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        x = functional.relu(self.first(x))
        h = self.convs[0](x, edge_index)
        kept = [x, h]
        h += x
        h = self.relu(h)  # also what was kept
        h = self.norm(h + self.convs[1](h, edge_index).tanh() + x)
        h = functional.dropout(h, p=0.5, training=self.training)
        h = functional.leaky_relu(self.encoder(h, edge_index), 0.1)
        h = torch.maximum(sum(kept), h).contiguous()
        return self.head(torch.cat([pyg.global_mean_pool(h, batch), self.pool(h, batch)], dim=-1))
