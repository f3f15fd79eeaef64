"""Four SAGE layers with jumping knowledge, in PyTorch Geometric, for ``mixq-rl --model jumping_sage.py:make_model``."""

import itertools

import torch
from torch import Tensor, nn
from torch_geometric.nn import JumpingKnowledge, SAGEConv

from mixq_rl.datasets import GraphTask

__all__ = ["make_model"]

_LAYERS, _WIDTH, _DROPOUT = 4, 64, 0.5


class JumpingSAGE(nn.Module):
    """Every layer's result is a part of the input of the last linear layer."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        widths = [features, *[_WIDTH] * _LAYERS]
        self.convs = nn.ModuleList(SAGEConv(a, b) for a, b in itertools.pairwise(widths))
        self.jump = JumpingKnowledge("cat")
        self.out = nn.Linear(_LAYERS * _WIDTH, classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        results = []
        for conv in self.convs:
            x = nn.functional.dropout(x, _DROPOUT, self.training)
            x = torch.relu(conv(x, edge_index))
            results.append(x)
        logits: Tensor = self.out(self.jump(results))
        return logits


def make_model(task: GraphTask) -> JumpingSAGE:
    return JumpingSAGE(task.num_features, task.num_classes)
