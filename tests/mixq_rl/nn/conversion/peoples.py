"""Base class of models as people write them: layers for a forward of any form."""

from torch import nn
from torch.nn import functional as F  # noqa: N812  as people write it
from torch_geometric.nn import GCNConv

from tests.mixq_rl.nn.conversion.accepting import FEATURES
from tests.mixq_rl.nn.float_models import CLASSES


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = GCNConv(FEATURES, 8), GCNConv(8, CLASSES)
        self.lin, self.bn, self.dropout = nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), 0.5
        self.alpha, self.act = 0.1, F.relu
