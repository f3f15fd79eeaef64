import pytest
import torch
from torch import Tensor

from tests.mixq_rl.nn.float_models import FEATURES, NODES


@pytest.fixture
def x() -> Tensor:
    """Features of the nodes of ``float_models.random_graph``."""
    return torch.randn(NODES, FEATURES, generator=torch.Generator().manual_seed(1))
